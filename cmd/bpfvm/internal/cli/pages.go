package cli

import (
	"embed"
	"io/fs"
	"strings"
)

// pageFiles are help pages about formats: the first line is the title.
//
//go:embed pages/*.txt
var pageFiles embed.FS

// formatTopics explains the formats that bpfvm reads.
func formatTopics() []topic {
	entries, err := fs.ReadDir(pageFiles, "pages")
	if err != nil {
		panic(err) // the files are part of the binary
	}
	var out []topic
	for _, e := range entries {
		b, err := pageFiles.ReadFile("pages/" + e.Name())
		if err != nil {
			panic(err)
		}
		title, text, _ := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
		name := strings.TrimSuffix(e.Name(), ".txt")
		out = append(out, topic{Group: "formats", Name: name, Title: title,
			Code: strings.Split(strings.Trim(text, "\n"), "\n")})
	}
	return out
}

// formatPage returns the page of that name.
func formatPage(name string) (topic, bool) {
	for _, t := range formatTopics() {
		if t.Name == name {
			return t, true
		}
	}
	return topic{}, false
}
