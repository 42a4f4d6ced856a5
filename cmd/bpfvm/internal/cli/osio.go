package cli

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// osIO is the world as the process sees it.
func osIO() IO {
	return IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Env:    os.LookupEnv,
		OutTTY: isTerminal(os.Stdout),
		ErrTTY: isTerminal(os.Stderr),
		Size:   osSize,
		Page:   osPager,
	}
}

// osSize asks the terminal, then the shell's variables.
func osSize() (cols, lines int) {
	if cols, lines = terminalSize(os.Stdout); cols > 0 {
		return cols, lines
	}
	cols, _ = strconv.Atoi(os.Getenv("COLUMNS"))
	lines, _ = strconv.Atoi(os.Getenv("LINES"))
	return cols, lines
}

// osPager shows text in $PAGER, or in less where there is one.
func osPager(text []byte) bool {
	words := strings.Fields(os.Getenv("PAGER"))
	if _, set := os.LookupEnv("PAGER"); !set {
		words = []string{"less", "-FRX"}
	}
	if len(words) == 0 || words[0] == "cat" {
		return false
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return false
	}
	cmd := exec.Command(path, words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), os.Stdout, os.Stderr
	if _, set := os.LookupEnv("LESS"); !set {
		cmd.Env = append(os.Environ(), "LESS=FRX")
	}
	// The user may leave the pager before the end; that is not an error, and text
	// that it began to show must not come twice.
	if cmd.Start() != nil {
		return false
	}
	_ = cmd.Wait()
	return true
}
