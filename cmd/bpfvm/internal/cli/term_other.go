//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || solaris || aix || windows)

package cli

import "os"

func terminalSize(*os.File) (cols, lines int) { return 0, 0 }

func isTerminal(*os.File) bool { return false }
