//go:build !js

package tui

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/debug"
	"bpfvm/scenario"
	"bpfvm/trace"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func session(t testing.TB, in trace.Inputs) *debug.Session {
	t.Helper()
	tr, err := trace.New(in)
	if err != nil {
		t.Fatal(err)
	}
	s, err := debug.Open(context.Background(), tr, debug.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func firewall(t testing.TB) *debug.Session {
	frames, err := scenario.ReadPcap(testdata(t, "xdp/packets.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	return session(t, trace.Inputs{Name: "firewall.bpf.o", Object: testdata(t, "xdp/firewall.bpf.o"), Frames: frames})
}

func kmem(t testing.TB) *debug.Session {
	return session(t, trace.Inputs{
		Name: "kmem_modern.bpf.o", Object: testdata(t, "kmem/kmem_modern.bpf.o"),
		ScriptName: "kmem.events", Script: testdata(t, "kmem/kmem.events"),
	})
}

// keys are those with names; the others are characters.
var keys = map[string]tea.KeyPressMsg{
	"tab": {Code: tea.KeyTab}, "enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape},
	"backspace": {Code: tea.KeyBackspace}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
	"down": {Code: tea.KeyDown}, "up": {Code: tea.KeyUp}, "left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight},
}

// press presses keys: words in the map above, everything else by the character; ~ is
// a blank.
func press(m *Model, text string) {
	for w := range strings.FieldsSeq(text) {
		if k, ok := keys[w]; ok {
			send(m, k)
			continue
		}
		for _, r := range strings.ReplaceAll(w, "~", " ") {
			send(m, tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
}

// send gives the model a message, and then all that comes of it.
func send(m *Model, msg tea.Msg) {
	for msg != nil {
		_, cmd := m.Update(msg)
		if cmd == nil {
			return
		}
		if msg = cmd(); msg == (tea.QuitMsg{}) {
			return
		}
	}
}

func screen(m *Model) string {
	var b strings.Builder
	for l := range strings.Lines(m.View().Content) {
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return b.String()
}

func TestScreens(t *testing.T) {
	tests := []struct {
		name   string
		open   func(testing.TB) *debug.Session
		w, h   int
		ascii  bool
		keys   string
		expect string // somewhere on the screen
	}{
		{"start", firewall, 80, 24, false, "", "step 0/977"},
		{"packet-write", firewall, 80, 24, false, ":break~packet:0/12~write enter c", "breakpoint 1, packet:0/12 write"},
		{"ascii", firewall, 80, 24, true, "] i i i i i i i i", "event 2/15"},
		{"back", firewall, 80, 24, true, "n n n N N N", "step 0/977"},
		{"wide", firewall, 160, 48, false, ":break~ret enter c", "returns 1 XDP_DROP"},
		{"maps", kmem, 80, 24, false, ":break~map:counts[1]~write enter c tab tab tab", "counts[1] 0->1"},
		{"stack", kmem, 80, 24, false, ":break~helper:map_update_elem enter c", "bpf_map_update_elem"},
		{"why", kmem, 80, 24, false, ":break~ret enter c w r0 enter", "is written here"},
		{"end", kmem, 80, 24, false, "end", "end of the recording"},
		{"help", kmem, 80, 24, false, "?", "keys"},
		{"search", firewall, 80, 24, false, "/lookup enter b enter", "break"},
		{"object", kmem, 80, 24, false, "t", "(object)"},
		{"prompt", firewall, 80, 24, false, "g 12 backspace", "go to step (0..977):"},
		{"error", firewall, 80, 24, false, ":brake~5 enter", "unknown command"},
		{"small", firewall, 40, 10, false, "", "at least 60x16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := NewModel(context.Background(), tt.open(t), Options{ASCII: tt.ascii, Title: "prog.o"})
			send(m, tea.WindowSizeMsg{Width: tt.w, Height: tt.h})
			send(m, m.Init()())
			press(m, tt.keys)
			got := screen(m)
			if !strings.Contains(got, tt.expect) {
				t.Errorf("%q is not on the screen:\n%s", tt.expect, got)
			}
			if tt.w >= minWidth {
				checkShape(t, m.View().Content, tt.w, tt.h)
			}
			if tt.ascii && strings.ContainsFunc(got, func(r rune) bool { return r > 0x7e }) {
				t.Errorf("--ascii shows other characters:\n%s", got)
			}
			path := filepath.Join("testdata", tt.name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
				t.Errorf("%s (go test -update writes it anew):\n%s", path, diff)
			}
		})
	}
}

func checkShape(t *testing.T, content string, w, h int) {
	t.Helper()
	lines := strings.Split(content, "\n")
	if len(lines) != h {
		t.Errorf("%d lines on a screen of %d", len(lines), h)
	}
	for i, l := range lines {
		if n := lipgloss.Width(l); n != w {
			t.Errorf("line %d has %d columns of %d: %q", i, n, w, l)
		}
	}
}

// Every size of window gets a screen of exactly that size, with colour and without.
func TestSizes(t *testing.T) {
	m := NewModel(context.Background(), firewall(t), Options{Color: true, Title: "prog.o"})
	send(m, m.Init()())
	for w := minWidth; w < 200; w += 13 {
		for h := minHeight; h < 60; h += 7 {
			send(m, tea.WindowSizeMsg{Width: w, Height: h})
			t.Run(fmt.Sprintf("%dx%d", w, h), func(t *testing.T) {
				checkShape(t, m.View().Content, w, h)
				press(m, "i ?")
				checkShape(t, m.View().Content, w, h)
				press(m, "esc")
			})
		}
	}
}

// Without colour there is no escape sequence at all.
func TestNoColor(t *testing.T) {
	m := NewModel(context.Background(), kmem(t), Options{Title: "prog.o"})
	send(m, m.Init()())
	press(m, "c C n i")
	if strings.Contains(m.View().Content, "\x1b") {
		t.Error("escape sequences without colour")
	}
}

// Keys that come while the session works wait for it.
func TestKeysWait(t *testing.T) {
	m := NewModel(context.Background(), firewall(t), Options{})
	send(m, m.Init()())
	key := tea.KeyPressMsg{Code: 'i', Text: "i"}
	_, first := m.Update(key)
	for range 4 {
		if _, cmd := m.Update(key); cmd != nil {
			t.Fatal("two commands at the same time")
		}
	}
	send(m, first())
	if m.w.S.Step() != 5 {
		t.Errorf("step %d after five keys", m.w.S.Step())
	}
}
