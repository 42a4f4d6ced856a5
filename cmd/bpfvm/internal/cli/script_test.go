package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/kernel"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts call bpfvm: the test binary plays it.
func TestMain(m *testing.M) {
	kernel.WorkerMain() // the scripts' condition asks the kernel
	testscript.Main(m, map[string]func(){"bpfvm": func() { os.Exit(OSMain()) }})
}

// TestScripts runs testdata/script/*.txtar. Each starts in a directory of its own
// with a copy of the repository's testdata in it, and of odd objects in matrix.
// Two commands are ours:
//
//	json NAME       stdout of the last command is one document NAME
//	exit CODE ARGS  bpfvm ARGS ends with that code
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../../../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"NO_COLOR", "CLICOLOR_FORCE", "PAGER"} {
				env.Setenv(name, "")
			}
			env.Setenv("SystemRoot", os.Getenv("SystemRoot")) // Windows starts nothing without
			if err := os.CopyFS(filepath.Join(env.WorkDir, "matrix"), os.DirFS(filepath.Join(repo, "../elf/testdata/matrix"))); err != nil {
				return err
			}
			return os.CopyFS(filepath.Join(env.WorkDir, "testdata"), os.DirFS(repo))
		},
		// [bpf]: this process may ask the kernel.
		Condition: func(cond string) (bool, error) {
			if cond != "bpf" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			k, err := kernel.Start(t.Context(), kernel.Options{})
			if err != nil {
				return false, nil
			}
			return true, k.Close()
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"json": scriptJSON,
			"exit": scriptExit,
		},
	})
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: json NAME")
	}
	if faults := checkDocument(args[0], []byte(ts.ReadFile("stdout"))); faults != nil {
		ts.Fatalf("%s", strings.Join(faults, "\n"))
	}
}

func scriptExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exit CODE ARGS..")
	}
	err := ts.Exec("bpfvm", args[1:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}
