package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestInspectBTFFile shows a file of types without an object, as the kernel
// publishes its own.
func TestInspectBTFFile(t *testing.T) {
	var b btf.Builder
	if _, err := b.Add(&btf.Struct{Name: "pair", Size: 8, Members: []btf.Member{
		{Name: "a", Type: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}},
	}}); err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "types")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "struct      1"},
		{[]string{"--btf=pair"}, "struct pair {\n\tint a; /* 0 4 */\n} /* size 8 */;\n"},
		{[]string{"--btf"}, "struct pair {\n\tint a;\n\tunsigned long : 32;\n};\n"},
		{[]string{"-j", "--btf=pair"}, `"types":[{"object":`},
	} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), append([]string{"inspect", path}, tt.args...), IO{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(string) (string, bool) { return "", false }})
		if code != exitOK || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%q: exit %d\n%s%s\nwant %s", tt.args, code, out.String(), errs.String(), tt.want)
		}
	}
}
