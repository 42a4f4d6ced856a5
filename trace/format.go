package trace

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"bpfvm/scenario"

	"golang.org/x/tools/txtar"
)

// FormatVersion is the version of the file form. It grows when an older reader
// would misunderstand a file.
const FormatVersion = 1

const magic = "bpfvm trace"

// Format writes the trace's inputs as a file.
func (t *Trace) Format() ([]byte, error) {
	in := t.in
	a := &txtar.Archive{}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %d\n", magic, FormatVersion)
	for _, p := range in.Programs {
		fmt.Fprintf(&head, "program %s\n", p)
	}
	numbers := []struct {
		word string
		v    uint64
	}{{"seed", in.Seed}, {"cpus", uint64(in.CPUs)}, {"budget", in.Budget}, {"repeat", uint64(in.Repeat)}}
	for _, n := range numbers {
		if n.v != 0 {
			fmt.Fprintf(&head, "%s %d\n", n.word, n.v)
		}
	}
	for _, v := range in.Vars {
		fmt.Fprintf(&head, "var %s %d %x\n", v.Map, v.Off, v.Data)
	}
	if in.Ctx != nil {
		fmt.Fprintf(&head, "ctx %s\n", cmp.Or(hex.EncodeToString(in.Ctx), "empty"))
	}
	a.Comment = head.Bytes()

	add := func(name string, data []byte) {
		a.Files = append(a.Files, txtar.File{Name: name, Data: data})
	}
	binary := func(name string, data []byte) { add(name+suffix, encode(data)) }
	binary("object/"+in.Name, in.Object)
	if in.Script != nil {
		if !textual(in.Script) {
			binary("script/"+in.ScriptName, in.Script)
		} else {
			add("script/"+in.ScriptName, in.Script)
		}
	}
	if len(in.Frames) > 0 {
		var pcap bytes.Buffer
		if err := scenario.WritePcap(&pcap, in.Frames); err != nil {
			return nil, fmt.Errorf("trace: %w", err)
		}
		binary("packets.pcap", pcap.Bytes())
	}
	for _, name := range slices.Sorted(maps.Keys(in.Maps)) {
		binary("map/"+name+".json", in.Maps[name])
	}
	for _, name := range slices.Sorted(maps.Keys(in.Files)) {
		binary("file/"+name, in.Files[name])
	}
	if in.Target != nil {
		binary("target.btf", in.Target)
	}
	for _, f := range a.Files {
		if strings.TrimSpace(f.Name) != f.Name || strings.ContainsAny(f.Name, "\n\r") || strings.Contains(f.Name, " --") {
			return nil, fmt.Errorf("trace: the name %q cannot stand in a txtar file", f.Name)
		}
	}
	return txtar.Format(a), nil
}

// suffix marks files in base64.
const suffix = ".base64"

// textual reports whether a file survives as text: it ends with a newline and has
// no line that looks like the head of another file.
func textual(b []byte) bool {
	return (len(b) == 0 || b[len(b)-1] == '\n') && !bytes.HasPrefix(b, []byte("-- ")) &&
		!bytes.Contains(b, []byte("\n-- ")) && !bytes.ContainsRune(b, '\r') && !bytes.ContainsRune(b, 0)
}

// encode is base64 in lines of 76 characters.
func encode(b []byte) []byte {
	text := base64.StdEncoding.EncodeToString(b)
	var out bytes.Buffer
	for len(text) > 0 {
		n := min(len(text), 76)
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return out.Bytes()
}

func decode(b []byte) ([]byte, error) {
	text := strings.Join(strings.Fields(string(b)), "")
	return base64.StdEncoding.DecodeString(text)
}

// ErrNotTrace is the cause when a file does not begin like a trace.
var ErrNotTrace = errors.New("not a trace: the first line is not \"" + magic + " 1\"")

// Parse reads a file that [Trace.Format] wrote. Lines and files that this version
// does not know are an error: they would change what happens.
func Parse(name string, data []byte) (*Trace, error) {
	a := txtar.Parse(data)
	fail := func(line int, err error) (*Trace, error) {
		if line > 0 {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	in := Inputs{}
	n := 0
	for line := range strings.Lines(string(a.Comment)) {
		n++
		line = strings.TrimSpace(line)
		if n == 1 {
			version, ok := strings.CutPrefix(line, magic+" ")
			if !ok {
				return fail(n, ErrNotTrace)
			}
			if version != strconv.Itoa(FormatVersion) {
				return fail(n, fmt.Errorf("trace version %q: %w", version, errors.ErrUnsupported))
			}
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if err := in.setting(line); err != nil {
			return fail(n, err)
		}
	}
	if n == 0 {
		return fail(0, ErrNotTrace)
	}
	for _, f := range a.Files {
		if err := in.file(f); err != nil {
			return fail(0, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	if in.Object == nil {
		return fail(0, errors.New("no object/ file"))
	}
	t, err := New(in)
	if err != nil {
		return fail(0, err)
	}
	return t, nil
}

// setting reads one line of the comment.
func (in *Inputs) setting(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	number := func(bits int) (uint64, error) {
		v, err := strconv.ParseUint(rest, 10, bits)
		if err != nil {
			return 0, fmt.Errorf("%s %q: want a number", word, rest)
		}
		return v, nil
	}
	var err error
	var v uint64
	switch word {
	case "program":
		in.Programs = append(in.Programs, rest)
	case "seed":
		in.Seed, err = number(64)
	case "budget":
		in.Budget, err = number(64)
	case "cpus":
		v, err = number(31)
		in.CPUs = int(v)
	case "repeat":
		v, err = number(31)
		in.Repeat = int(v)
	case "var":
		var x Var
		f := strings.Fields(rest)
		if len(f) != 3 {
			return fmt.Errorf("var %q: want MAP OFFSET HEX", rest)
		}
		rest = f[1]
		if v, err = number(32); err != nil {
			return err
		}
		x.Map, x.Off = f[0], uint32(v)
		if x.Data, err = hex.DecodeString(f[2]); err != nil {
			return fmt.Errorf("var %s: %w", f[0], err)
		}
		in.Vars = append(in.Vars, x)
	case "ctx":
		if rest == "empty" {
			in.Ctx = []byte{}
			break
		}
		if in.Ctx, err = hex.DecodeString(rest); err != nil {
			err = fmt.Errorf("ctx: %w", err)
		}
	default:
		err = fmt.Errorf("unknown setting %q", word)
	}
	return err
}

// file takes one file of the archive.
func (in *Inputs) file(f txtar.File) error {
	data := f.Data
	name, encoded := strings.CutSuffix(f.Name, suffix)
	if encoded {
		var err error
		if data, err = decode(data); err != nil {
			return err
		}
	}
	dir, base, _ := strings.Cut(name, "/")
	switch {
	case dir == "object" && base != "":
		in.Name, in.Object = base, data
	case dir == "script" && base != "":
		in.ScriptName, in.Script = base, data
	case name == "packets.pcap":
		frames, err := scenario.ReadPcap(data)
		if err != nil {
			return err
		}
		in.Frames = frames
	case dir == "map" && strings.HasSuffix(base, ".json"):
		put(&in.Maps, strings.TrimSuffix(base, ".json"), data)
	case dir == "file" && base != "":
		put(&in.Files, base, data)
	case name == "target.btf":
		in.Target = data
	default:
		return errors.New("unknown file")
	}
	return nil
}

func put(m *map[string][]byte, name string, data []byte) {
	if *m == nil {
		*m = map[string][]byte{}
	}
	(*m)[name] = data
}
