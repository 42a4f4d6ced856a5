// Command genops turns isa/ops.txt into Go tables.
//
// Usage: genops -o zops.go ops.txt
package main

import (
	"flag"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("genops: ")
	out := flag.String("o", "zops.go", "file to write")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: genops -o zops.go ops.txt")
	}
	src, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	code, err := Generate(flag.Arg(0), src)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, code, 0o644); err != nil {
		log.Fatal(err)
	}
}
