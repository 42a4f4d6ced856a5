//go:build !js

package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"bpfvm/debug"
	"bpfvm/isa"
	"bpfvm/spec"

	tea "charm.land/bubbletea/v2"
)

// Model is the screen's state. Update changes it, View draws it; the session moves
// in commands, one at a time, while Model waits.
type Model struct {
	ctx  context.Context
	opts Options
	w    *Words

	width, height int
	scene         *scene
	view          view
	data          int // which pane is at the lower right
	scroll        int // of it
	codeScroll    int

	mode  rune // ':' '/' 'g' 'b' 'w' while a line is typed, else 0
	input string
	past  []string // command lines
	back  int      // how far the user went back in them

	overlay    []string
	overTitle  string
	overScroll int

	message string
	failed  bool
	busy    bool
	queue   []tea.KeyPressMsg // keys that came while a command ran
	cancel  context.CancelFunc
	last    string // key of the last move, for Enter
	query   string
}

// NewModel makes the screen of a session.
func NewModel(ctx context.Context, s *debug.Session, o Options) *Model {
	return &Model{ctx: ctx, opts: o, w: &Words{S: s}, width: 80, height: 24, view: view{packetWidth: 8, look: -1}}
}

// Run shows the screen until the user leaves.
func Run(ctx context.Context, s *debug.Session, o Options) error {
	opts := []tea.ProgramOption{tea.WithContext(ctx)}
	if o.In != nil {
		opts = append(opts, tea.WithInput(o.In))
	}
	if o.Out != nil {
		opts = append(opts, tea.WithOutput(o.Out))
	}
	_, err := tea.NewProgram(NewModel(ctx, s, o), opts...).Run()
	if errors.Is(err, tea.ErrInterrupted) || errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil // Ctrl-C is a way to leave
	}
	return err
}

// done is what a command of the session gave.
type done struct {
	reply Reply
	err   error
	scene *scene
	title string // of the overlay, if there is one
}

// Init looks at the first step.
func (m *Model) Init() tea.Cmd {
	return m.do("", func(context.Context) (Reply, error) {
		return Reply{Lines: []string{"n s i f c move, capitals back, ? lists all keys"}}, nil
	})
}

// do runs fn on the session while the screen waits.
func (m *Model) do(title string, fn func(context.Context) (Reply, error)) tea.Cmd {
	ctx, cancel := context.WithCancel(m.ctx)
	m.busy, m.cancel = true, cancel
	w, v := m.w, m.view
	return func() tea.Msg {
		defer cancel()
		d := done{title: title}
		d.reply, d.err = fn(ctx)
		// The scene is drawn whatever happened to the command.
		sc, err := w.scene(context.WithoutCancel(ctx), v)
		if d.scene = sc; d.err == nil {
			d.err = err
		}
		return d
	}
}

// command runs a line of words.
func (m *Model) command(line string) tea.Cmd {
	return m.do(line, func(ctx context.Context) (Reply, error) { return m.w.Do(ctx, line) })
}

// Update is the reaction to one message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		width := 8
		if m.layout().right >= 1+4+16*3+2+16 {
			width = 16
		}
		if width != m.view.packetWidth && !m.busy {
			m.view.packetWidth = width
			return m, m.refresh()
		}
		m.view.packetWidth = width
	case done:
		next, cmd := m.finish(msg)
		for cmd == nil && !m.busy && len(m.queue) > 0 {
			k := m.queue[0]
			m.queue = m.queue[1:]
			next, cmd = m.key(k)
		}
		return next, cmd
	case tea.PasteMsg:
		if m.mode != 0 {
			m.input += oneLine(msg.Content)
		}
	case tea.KeyPressMsg:
		return m.key(msg)
	}
	return m, nil
}

// refresh prepares the scene anew and keeps the message.
func (m *Model) refresh() tea.Cmd {
	text := m.message
	return m.do("", func(context.Context) (Reply, error) { return Reply{Lines: []string{text}}, nil })
}

// finish shows what a command gave.
func (m *Model) finish(d done) (tea.Model, tea.Cmd) {
	m.busy = false
	if d.scene != nil {
		if m.scene == nil && d.scene.st.Packet != nil {
			m.data = dataPacket
		}
		m.scene = d.scene
	}
	m.failed = d.err != nil
	switch {
	case d.reply.Quit:
		return m, tea.Quit
	case d.err != nil && errors.Is(d.err, context.Canceled):
		m.message = "stopped; nothing moved"
	case d.err != nil:
		m.message = d.err.Error()
	case d.reply.Help:
		m.openHelp()
	case d.reply.Stop != nil:
		m.scroll, m.codeScroll = 0, 0
		m.message = moveMessage(d.reply)
	case len(d.reply.Lines) > 1:
		m.overlay, m.overTitle, m.overScroll = d.reply.Lines, d.title, 0
	case len(d.reply.Lines) == 1:
		m.message = d.reply.Lines[0]
	default:
		m.message = ""
	}
	return m, nil
}

// moveMessage says in one line what a move passed and why it ended: the place
// itself is on the screen.
func moveMessage(r Reply) string {
	var parts []string
	if t := reasonText(*r.Stop); t != "" {
		parts = append(parts, t)
	}
	last := ""
	for _, l := range r.Lines {
		if t, ok := strings.CutPrefix(l, "= "); ok {
			last = t
		}
	}
	if last != "" {
		parts = append(parts, last)
	}
	if n := len(r.Stop.Logs); n > 0 {
		parts = append(parts, r.Stop.Logs[n-1])
	}
	return strings.Join(parts, "; ")
}

// View draws the screen.
func (m *Model) View() tea.View {
	v := tea.NewView(m.draw())
	v.AltScreen = true
	if m.mode != 0 {
		x := min(utf8.RuneCountInString(m.prompt()+m.input), m.width-1)
		v.Cursor = tea.NewCursor(x, m.height-1)
	}
	return v
}

// moves are the keys that move, and the words they stand for.
var moves = map[string]string{
	"n": "next", "s": "step", "i": "stepi", "f": "finish", "c": "continue",
	"N": "reverse-next", "S": "reverse-step", "I": "reverse-stepi", "F": "reverse-finish", "C": "reverse-continue",
	"]": "next-event", "[": "prev-event",
	"right": "stepi", "left": "reverse-stepi", "home": "goto start", "end": "goto end",
}

// maxQueue bounds the keys that wait for a command to end.
const maxQueue = 64

// key is one key.
func (m *Model) key(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	name := k.String()
	switch {
	case name == "ctrl+c":
		return m, tea.Quit
	case m.busy:
		if name == "esc" && m.cancel != nil {
			m.queue = nil
			m.cancel()
		} else if len(m.queue) < maxQueue {
			m.queue = append(m.queue, k)
		}
		return m, nil
	case m.overlay != nil:
		m.overlayKey(name)
		return m, nil
	case m.mode != 0:
		return m, m.typed(k)
	}
	if name == "enter" {
		name = m.last
	}
	if word, ok := moves[name]; ok {
		m.last, m.view.look = name, -1
		return m, m.command(word)
	}
	switch name {
	case "q":
		return m, tea.Quit
	case "?", "h":
		m.openHelp()
	case ":", "/", "g", "b", "w":
		m.mode, m.input, m.back = rune(name[0]), "", 0
	case "tab":
		m.data, m.scroll = (m.data+1)%numData, 0
	case "shift+tab":
		m.data, m.scroll = (m.data+numData-1)%numData, 0
	case "t":
		m.view.object = !m.view.object
		return m, m.refresh()
	case "v":
		m.message, m.failed = "verifier states are not shown beside the values in this version", true
	case "down", "j":
		m.scroll = min(m.scroll+1, max(len(m.pane().lines)-m.layout().mid, 0))
	case "up", "k":
		m.scroll = max(m.scroll-1, 0)
	case "pgdown":
		m.codeScroll += m.layout().top
	case "pgup":
		m.codeScroll -= m.layout().top
	case "esc":
		m.codeScroll, m.message = 0, ""
		if m.view.look >= 0 {
			m.view.look = -1
			return m, m.refresh()
		}
	}
	return m, nil
}

func (m *Model) pane() *pane {
	if m.scene == nil {
		return &pane{}
	}
	return &m.scene.data[m.data]
}

func (m *Model) overlayKey(name string) {
	page := max(m.height-4, 1)
	last := max(len(m.overlay)-page, 0)
	switch name {
	case "down", "j":
		m.overScroll = min(m.overScroll+1, last)
	case "up", "k":
		m.overScroll = max(m.overScroll-1, 0)
	case "pgdown", "space":
		m.overScroll = min(m.overScroll+page, last)
	case "pgup":
		m.overScroll = max(m.overScroll-page, 0)
	default:
		m.overlay = nil
	}
}

// prompt says what is typed.
func (m *Model) prompt() string {
	switch m.mode {
	case 'g':
		return fmt.Sprintf("go to step (0..%d): ", m.w.S.Steps())
	case 'b':
		return "break (empty: here; *5 file.c:9 helper:NAME ret map:M[K] write): "
	case 'w':
		return "why (r2 fp-8 pkt+12 map[key]): "
	}
	return string(m.mode)
}

// typed is a key while a line is typed.
func (m *Model) typed(k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		m.mode = 0
	case "backspace":
		if m.input == "" {
			m.mode = 0
			break
		}
		_, n := utf8.DecodeLastRuneInString(m.input)
		m.input = m.input[:len(m.input)-n]
	case "ctrl+u":
		m.input = ""
	case "up", "down":
		m.recall(k.String() == "up")
	case "enter":
		mode, text := m.mode, strings.TrimSpace(m.input)
		m.mode = 0
		return m.entered(mode, text)
	default:
		m.input += oneLine(k.Text)
	}
	return nil
}

// oneLine keeps control characters out of the input.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// recall goes through the command lines of before.
func (m *Model) recall(older bool) {
	if m.mode != ':' {
		return
	}
	if older {
		m.back = min(m.back+1, len(m.past))
	} else {
		m.back = max(m.back-1, 0)
	}
	m.input = ""
	if m.back > 0 {
		m.input = m.past[len(m.past)-m.back]
	}
}

// entered runs a line that was typed.
func (m *Model) entered(mode rune, text string) tea.Cmd {
	switch mode {
	case '/':
		return m.search(text)
	case 'b':
		return m.breakHere(text)
	case 'g':
		if text != "" {
			return m.command("goto " + text)
		}
	case 'w':
		if text != "" {
			return m.whence(text)
		}
	case ':':
		if text != "" {
			m.past = append(m.past, text)
			m.view.look = -1
			return m.command(text)
		}
	}
	return nil
}

// breakHere sets a breakpoint; without a place it sets or removes the one at the
// instruction in sight.
func (m *Model) breakHere(text string) tea.Cmd {
	if text != "" {
		return m.command("break " + text)
	}
	code := m.w.S.Code()
	if code == nil {
		m.message, m.failed = "no program runs here", true
		return nil
	}
	pc := m.scene.st.PC
	if m.view.look >= 0 {
		pc = m.view.look
	}
	if set := m.w.S.BreakAt(code.Name, pc); len(set) > 0 {
		return m.command(fmt.Sprintf("delete %d", set[0].ID))
	}
	return m.command(fmt.Sprintf("break %s:*%d", code.Name, pc))
}

// whence goes to the step that wrote something last.
func (m *Model) whence(what string) tea.Cmd {
	return m.do(what, func(ctx context.Context) (Reply, error) {
		y, err := m.w.S.Why(ctx, what)
		if err != nil {
			return Reply{}, err
		}
		r, err := m.w.Do(ctx, fmt.Sprintf("goto %d", y.Step))
		if err != nil {
			return Reply{}, err
		}
		text := fmt.Sprintf("%s = %s is written here", y.What, spec.Plain(y.Now))
		if len(y.From) > 0 {
			var from []string
			for _, x := range y.From {
				from = append(from, x.String())
			}
			text += "; it reads " + strings.Join(from, " ")
		}
		r.Lines = []string{"= " + text}
		return r, nil
	})
}

// search looks for text in the instructions and C lines of the program, from the
// one in sight on, and shows where it is.
func (m *Model) search(text string) tea.Cmd {
	if text == "" {
		text = m.query
	}
	code := m.w.S.Code()
	if text == "" || code == nil {
		return nil
	}
	m.query = text
	from := m.scene.st.PC
	if m.view.look >= 0 {
		from = m.view.look
	}
	n := len(code.Insns)
	for i := 1; i <= n; i++ {
		pc := (int(from) + i) % n
		if !strings.Contains(strings.ToLower(m.searchText(pc)), strings.ToLower(text)) {
			continue
		}
		m.view.look = isa.PC(pc)
		m.message = fmt.Sprintf("%q is at slot %d; / again: next, b: break there, Esc: back", text, pc)
		m.failed, m.codeScroll = false, 0
		return m.refresh()
	}
	m.message, m.failed = fmt.Sprintf("%q is not in this program", text), true
	return nil
}
