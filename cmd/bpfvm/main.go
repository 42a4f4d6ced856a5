// Command bpfvm looks into eBPF programs; see "bpfvm help".
package main

import (
	"os"

	"bpfvm/cmd/bpfvm/internal/cli"
)

func main() { os.Exit(cli.OSMain()) }
