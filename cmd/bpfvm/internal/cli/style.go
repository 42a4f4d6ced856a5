package cli

// style colours words by what they mean. Colour never carries meaning alone: a
// mark or a word always says the same. The palette is blue, orange (yellow) and
// bold, which also differ for colour-blind eyes. The zero style is plain text.
type style struct {
	on    bool
	ascii bool
}

// newStyle decides about colour: --color first, then NO_COLOR (no-color.org),
// CLICOLOR_FORCE, and last whether stdout is a terminal.
func (a *app) newStyle() style {
	env := func(name string) bool {
		v, ok := a.io.Env(name)
		return ok && v != "" && v != "0"
	}
	s := style{ascii: a.flags.ascii || a.flags.plain}
	switch {
	case a.flags.plain:
	case a.flags.color == "always":
		s.on = true
	case a.flags.color == "never":
	case noColor(a.io.Env):
	case env("CLICOLOR_FORCE"):
		s.on = true
	default:
		term, _ := a.io.Env("TERM")
		s.on = a.io.OutTTY && term != "dumb"
	}
	return s
}

// noColor follows no-color.org: present and not empty, whatever the value.
func noColor(env func(string) (string, bool)) bool {
	v, ok := env("NO_COLOR")
	return ok && v != ""
}

func (s style) paint(sgr, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// The roles of words.
func (s style) head(t string) string { return s.paint("1", t) }  // titles, columns
func (s style) dim(t string) string  { return s.paint("2", t) }  // what may be skipped
func (s style) name(t string) string { return s.paint("36", t) } // programs, maps, symbols
func (s style) good(t string) string { return s.paint("34", t) } // as expected
func (s style) bad(t string) string  { return s.paint("1;31", t) }
func (s style) warn(t string) string { return s.paint("33", t) } // changed, noteworthy
func (s style) src(t string) string  { return s.paint("32", t) } // source lines

// arrow stands between before and after.
func (s style) arrow() string {
	if s.ascii {
		return "->"
	}
	return "→"
}

// ellipsis marks cut text.
func (s style) ellipsis() string {
	if s.ascii {
		return "..."
	}
	return "…"
}
