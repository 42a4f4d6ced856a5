package isa

import (
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// archive returns the files of a txtar archive by name.
func archive(t *testing.T, path string) map[string]string {
	t.Helper()
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range ar.Files {
		files[f.Name] = string(f.Data)
	}
	return files
}

// TestDumps assembles what other tools print, as it came from them, and compares
// with the bytes of the program that they were given.
func TestDumps(t *testing.T) {
	paths, err := filepath.Glob("testdata/dumps/*.txtar")
	if err != nil || len(paths) < 4 {
		t.Fatalf("only %d dumps: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			files := archive(t, path)
			want, err := hex.DecodeString(strings.Join(strings.Fields(files["hex"]), ""))
			if err != nil {
				t.Fatal(err)
			}
			p, err := AssembleProgram(files["dump"])
			if err != nil {
				t.Fatal(err)
			}
			wantProg, err := Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(text(t, wantProg), text(t, p)); diff != "" {
				t.Errorf("other text (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, Encode(p)); diff != "" {
				t.Errorf("other bytes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDumpMismatch has dumps that contradict themselves.
func TestDumpMismatch(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"0: (b7) r0 = r1", `1:5: the dump says opcode (b7), but this text is (bf)`},
		{"0: r0 = 0\n2: exit", `2:1: slot 1 is missing before this one`},
		{"3: exit", `1:1: slots 0 to 2 are missing before this one`},
		{"0: r0 = 0\n0: r0 = 1\n1: exit", `2:1: slot 0 is taken by another instruction on line 1`},
		{"0: r0 = 5 ll\n1: exit", `2:1: slot 1 is taken by another instruction on line 1`},
		{"99999999999: exit", `1:1: slot number 99999999999 is out of reach`},
		{"0: BUG_ldx_91", `1:4: unknown instruction "BUG_ldx_91"`},
	} {
		_, err := AssembleProgram(tt.src)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q:\n got %v\nwant %s", tt.src, err, tt.want)
		}
	}
}
