package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// completeProgram completes FILE[:PROG]: files first, and once the word names an
// object, its programs.
func (a *app) completeProgram(c *cobra.Command) {
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		path, _, found := strings.Cut(word, ":")
		if !found {
			return a.completeObject(word)
		}
		o, err := a.open(path)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, p := range o.coll.Programs {
			out = append(out, cobra.CompletionWithDesc(path+":"+p.Name, p.Section))
		}
		if c.Name() == "disasm" {
			for _, name := range o.functionNames() {
				out = append(out, cobra.CompletionWithDesc(path+":"+name, "subprogram"))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeObject offers FILE:PROG for a word that is a whole file name, and else
// leaves files to the shell.
func (a *app) completeObject(word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if !strings.HasSuffix(word, ".o") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	o, err := a.open(word)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	out := []cobra.Completion{word}
	if len(o.coll.Programs) > 1 {
		for _, p := range o.coll.Programs {
			out = append(out, cobra.CompletionWithDesc(word+":"+p.Name, p.Section))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeFromObject completes a flag with names out of the object that the
// command line already names.
func (a *app) completeFromObject(c *cobra.Command, flag, suffix string, names func(*object) []string) {
	mustComplete(c, flag, func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		o, err := a.open(splitTarget(args[0]).path)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, n := range names(o) {
			out = append(out, n+suffix)
		}
		d := cobra.ShellCompDirectiveNoFileComp
		if suffix != "" {
			d |= cobra.ShellCompDirectiveNoSpace
		}
		return out, d
	})
}

func (o *object) mapNames() []string {
	var names []string
	for _, m := range o.coll.Maps {
		names = append(names, m.Name)
	}
	return names
}

func (o *object) sectionNames() []string {
	var names []string
	for _, s := range o.file.Sections[1:] {
		names = append(names, s.Name)
	}
	return names
}

func (o *object) typeNames() []string {
	s, err := o.objectTypes()
	if err != nil {
		return nil
	}
	return typeNames(s)
}

func completeEngine(c *cobra.Command) {
	var words []cobra.Completion
	for _, e := range engines() {
		words = append(words, cobra.CompletionWithDesc(e.name, e.what))
	}
	mustComplete(c, "engine", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// mustComplete registers a flag's completion; that fails for a flag only that
// does not exist.
func mustComplete(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}
