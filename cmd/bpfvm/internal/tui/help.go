//go:build !js

package tui

import (
	"bpfvm/debug"
	"bpfvm/isa"
	"bpfvm/spec"
)

// searchText is what a search finds at a slot: the instruction, and the C line where
// one begins.
func (m *Model) searchText(slot int) string {
	code, pc := m.w.S.Code(), isa.PC(slot)
	text := debug.Insn(code, pc)
	l := m.w.S.LineOf(code, pc)
	if l != nil && (slot == 0 || m.w.S.LineOf(code, pc-1) != l) {
		text += " " + spec.Plain(l.Text)
	}
	return text
}

// openHelp shows the keys.
func (m *Model) openHelp() {
	m.overlay, m.overTitle, m.overScroll = keyHelp(), "keys", 0
}

// keyHelp lists keys and commands.
func keyHelp() []string {
	lines := []string{
		"n  next C line, over functions        N  the same, backwards",
		"s  next C line, into functions        S  the same, backwards",
		"i  one instruction (also ->)          I  the same, backwards (also <-)",
		"f  finish: to the end of the function F  back to its call",
		"c  continue to a breakpoint or fault  C  the same, backwards",
		"]  next packet or event               [  this event's beginning, the one before",
		"g  go to a step                       Home End  first and last step",
		"Enter  the last move again            Esc  back to where the program is",
		"b  break, where a place is asked for  w  why: go to what wrote it last",
		"Tab  stack, packet, context, maps     t  object's slots or our linked ones",
		"/  search instructions and C lines    j k  scroll, PgUp PgDn the code",
		":  command                            q  quit",
		"",
		"marks  > here  * changed, or a map is written  ! fault  b breakpoint",
		"       ( a function begins  / found  [..] bytes that the instruction touches",
		"",
		"commands after ':' and in -x files",
	}
	for _, c := range table() {
		name := c.names[0]
		if len(c.names) > 1 {
			name += " " + c.names[1]
		}
		lines = append(lines, "  "+fit(name+" "+shortArgs(c.args), 26)+" "+c.what)
	}
	return append(lines, "", "help break lists the places to stop at")
}
