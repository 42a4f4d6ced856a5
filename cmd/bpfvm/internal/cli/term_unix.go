//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly || solaris || aix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalSize returns the window's columns and lines, or zeros where f is no
// terminal.
func terminalSize(f *os.File) (cols, lines int) {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(ws.Col), int(ws.Row)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}
