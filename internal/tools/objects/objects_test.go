package objects

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const testdata = "../../../testdata"

func ExampleRead() {
	entries, err := Read(strings.NewReader("xdp/drop.bpf.o xdp/drop.c reject strip -mcpu=v3\n"))
	fmt.Println(entries[0].Object, entries[0].Accept, entries[0].Flags, err)

	_, err = Read(strings.NewReader("xdp/drop.bpf.o xdp/drop.c maybe strip -mcpu=v3\n"))
	fmt.Println(err)
	// Output:
	// xdp/drop.bpf.o false [-mcpu=v3] <nil>
	// line 1: malformed table of objects: verdict "maybe", want accept or reject
}

func table(t *testing.T) []Entry {
	t.Helper()
	f, err := os.Open(filepath.Join(testdata, "objects.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, err := Read(f)
	if err != nil {
		t.Fatalf("objects.txt: %v", err)
	}
	return entries
}

func open(t *testing.T, path string) *elf.File {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// The table and the files under testdata name each other.
func TestTableIsComplete(t *testing.T) {
	var listed []string
	for _, e := range table(t) {
		listed = append(listed, e.Object)
		if _, err := os.Stat(filepath.Join(testdata, e.Source)); err != nil {
			t.Errorf("objects.txt:%d: %v", e.LineNum, err)
		}
	}
	var found []string
	err := filepath.WalkDir(testdata, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".o") {
			rel, _ := filepath.Rel(testdata, path)
			found = append(found, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(listed)
	slices.Sort(found)
	if !slices.Equal(listed, found) {
		t.Errorf("objects.txt lists %q\ntestdata holds %q", listed, found)
	}
}

// Each object is little-endian eBPF, has the debugging sections that the table
// says, and names its source relative to testdata.
func TestObjectsAreAsListed(t *testing.T) {
	for _, e := range table(t) {
		t.Run(e.Object, func(t *testing.T) {
			f := open(t, filepath.Join(testdata, e.Object))
			if f.Machine != elf.EM_BPF || f.Data != elf.ELFDATA2LSB || f.Type != elf.ET_REL {
				t.Errorf("machine %v data %v type %v", f.Machine, f.Data, f.Type)
			}
			if got, want := f.Section(".BTF") != nil, e.Debug != DebugNone; got != want {
				t.Errorf("has BTF: %t, want %t", got, want)
			}
			if got, want := f.Section(".debug_info") != nil, e.Debug == DebugKeep; got != want {
				t.Errorf("has DWARF: %t, want %t", got, want)
			}
			license, err := f.Section("license").Data()
			if err != nil || string(license) != "Dual MIT/GPL\x00" {
				t.Errorf("license %q, %v", license, err)
			}
			if btf := f.Section(".BTF"); btf != nil {
				data, err := btf.Data()
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(data, []byte("\x00./"+e.Source+"\x00")) {
					t.Errorf("BTF does not name the source as ./%s", e.Source)
				}
			}
		})
	}
}

// The committed objects are what their sources compile to.
func TestRebuiltObjects(t *testing.T) {
	dir := os.Getenv("BPFVM_REBUILT_OBJECTS")
	if dir == "" {
		t.Skip("BPFVM_REBUILT_OBJECTS is not set: no objects compiled again by testdata/build.sh")
	}
	ours, errOurs := os.ReadFile(filepath.Join(testdata, "compiler.txt"))
	theirs, errTheirs := os.ReadFile(filepath.Join(dir, "compiler.txt"))
	if err := errors.Join(errOurs, errTheirs); err != nil {
		t.Fatal(err)
	}
	strict := SameContent
	if !bytes.Equal(ours, theirs) {
		strict = SameInterface
		t.Logf("committed objects are by %s, these by %s: comparing names only",
			bytes.TrimSpace(ours), bytes.TrimSpace(theirs))
	}
	for _, e := range table(t) {
		diffs, err := Compare(open(t, filepath.Join(testdata, e.Object)), open(t, filepath.Join(dir, e.Object)), strict)
		if err != nil {
			t.Errorf("%s: %v", e.Object, err)
		}
		for _, d := range diffs {
			t.Errorf("%s: %s (rebuild with testdata/build.sh)", e.Object, d)
		}
	}
}

// Two programs that differ in their code alone, and two that have other names.
func TestCompareSeesDifferences(t *testing.T) {
	drop := open(t, filepath.Join(testdata, "xdp/drop.bpf.o"))
	good := open(t, filepath.Join(testdata, "xdp/good.bpf.o"))
	firewall := open(t, filepath.Join(testdata, "xdp/firewall.bpf.o"))
	for _, c := range []struct {
		name   string
		a, b   *elf.File
		strict Strictness
		want   string // part of one difference; "" for none
	}{
		{"itself", drop, drop, SameContent, ""},
		{"code", drop, good, SameContent, "section xdp: type SHT_PROGBITS flags SHF_ALLOC+SHF_EXECINSTR size 104, then"},
		{"code, interface only", drop, good, SameInterface, ""},
		{"names", drop, firewall, SameInterface, "symbol only in the first: STT_FUNC drop_arp in xdp"},
	} {
		diffs, err := Compare(c.a, c.b, c.strict)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" && diffs != nil || c.want != "" && !slices.ContainsFunc(diffs, func(d string) bool { return strings.Contains(d, c.want) }) {
			t.Errorf("%s: %q, want %q", c.name, diffs, c.want)
		}
	}
}

func TestFirstDifference(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", -1}, {"ab", "ab", -1}, {"ab", "ac", 1}, {"ab", "a", 1}, {"", "x", 0},
	} {
		if got := firstDifference([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("firstDifference(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
