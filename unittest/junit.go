package unittest

import (
	"encoding/xml"
	"fmt"
	"io"
)

// WriteJUnit writes results as JUnit's XML, one suite a file, as CI systems read it.
// There are no times in it, so that the same tests give the same report.
func WriteJUnit(w io.Writer, rs []*Result) error {
	doc := junitSuites{Name: "bpfvm test"}
	index := map[string]int{}
	for _, r := range rs {
		i, ok := index[r.File]
		if !ok {
			i = len(doc.Suites)
			index[r.File] = i
			doc.Suites = append(doc.Suites, junitSuite{Name: r.File})
		}
		doc.Suites[i].add(r)
	}
	for _, s := range doc.Suites {
		doc.Tests += s.Tests
		doc.Failures += s.Failures
		doc.Errors += s.Errors
		doc.Skipped += s.Skipped
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

type junitCounts struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
}

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitCounts
	Suites []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name string `xml:"name,attr"`
	junitCounts
	Cases []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string      `xml:"name,attr"`
	ClassName string      `xml:"classname,attr"`
	File      string      `xml:"file,attr"`
	Line      int         `xml:"line,attr"`
	Failure   *junitFault `xml:"failure"`
	Error     *junitFault `xml:"error"`
	Skipped   *junitFault `xml:"skipped"`
}

type junitFault struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (s *junitSuite) add(r *Result) {
	c := junitCase{Name: r.Name(), ClassName: r.File, File: r.File, Line: r.Pos.Line}
	s.Tests++
	switch r.Status {
	case Fail:
		s.Failures++
		f := r.Failures[0]
		c.Failure = &junitFault{fmt.Sprintf("%s: want %s, got %s", f.Text, f.Want, f.Got), "\n" + r.String() + "\n"}
	case Error:
		s.Errors++
		c.Error = &junitFault{r.Reason, "\n" + r.String() + "\n"}
	case Skip:
		s.Skipped++
		c.Skipped = &junitFault{Message: r.Reason}
	}
	s.Cases = append(s.Cases, c)
}
