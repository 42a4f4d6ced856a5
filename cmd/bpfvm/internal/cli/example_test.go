package cli_test

import (
	"context"
	"os"
	"strings"

	"bpfvm/cmd/bpfvm/internal/cli"
)

// The command line is a function: here it assembles a program that standard input
// holds and lists it.
func Example() {
	code := cli.Main(context.Background(), []string{"asm", "-", "--list"}, cli.IO{
		In:  strings.NewReader("r0 = 42\nexit\n"),
		Out: os.Stdout,
		Err: os.Stderr,
		Env: func(string) (string, bool) { return "", false },
	})
	if code != 0 {
		os.Exit(code)
	}
	// Output:
	// .func main
	//  0: b7 00 00 00 2a 00 00 00  r0 = 42
	//  1: 95 00 00 00 00 00 00 00  exit
}
