package kernel

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// FindVM looks for what a second kernel needs: qemu in PATH and the image, which is
// the newest of Debian's cloud kernels in /boot when no file is named. The error is a
// *MissingVMError that says how to get it.
func FindVM(image string) (*VM, error) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return nil, &MissingVMError{What: "qemu-system-x86_64 is not installed", Hint: "apt-get install --no-install-recommends qemu-system-x86"}
	}
	if image == "" {
		found, _ := filepath.Glob(imagePlaces)
		if len(found) == 0 {
			return nil, &MissingVMError{What: "no image of a second kernel in " + imagePlaces,
				Hint: "on Debian: apt-get download the package that linux-image-6.12-cloud-amd64 depends on, dpkg -x it, and name boot/vmlinuz-* (--vm=FILE, BPFVM_VM_KERNEL)"}
		}
		slices.Sort(found)
		image = found[len(found)-1]
	}
	if _, err := os.Stat(image); err != nil {
		return nil, &MissingVMError{What: "image of a second kernel: " + err.Error(), Hint: "name a bzImage"}
	}
	return &VM{Image: image, Qemu: qemu}, nil
}

// startVM boots a second kernel and returns its worker.
func startVM(ctx context.Context, opts Options) (_ *worker, err error) {
	v := *opts.VM
	if v.Qemu == "" {
		v.Qemu = "qemu-system-x86_64"
	}
	if v.Memory == 0 {
		v.Memory = vmMemory
	}
	dir, err := os.MkdirTemp("", "bpfvm-vm-")
	if err != nil {
		return nil, fmt.Errorf("second kernel: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	initrd, console := filepath.Join(dir, "initrd"), filepath.Join(dir, "console")
	if err := writeInitrd(initrd); err != nil {
		return nil, fmt.Errorf("second kernel: %w", err)
	}
	jit := "1"
	if v.JITOff {
		jit = "0"
	}
	params := fmt.Sprintf("console=ttyS0 loglevel=4 panic=-1 tsc=reliable %s=%s %s=%s %s=%d",
		workerEnv, workerVM, vmJITEnv, jit, workerCPUEnv, opts.CPU)
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("second kernel: %w", err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		theirIn.Close()
		ourOut.Close()
		return nil, fmt.Errorf("second kernel: %w", err)
	}
	w := &worker{
		cmd: exec.Command(v.Qemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-m", fmt.Sprint(v.Memory),
			"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
			"-kernel", v.Image, "-initrd", initrd, "-append", params,
			"-chardev", "file,id=con,path="+console, "-device", "isa-serial,chardev=con",
			"-chardev", "stdio,id=ch,signal=off",
			"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=ch,name="+vmPort),
		in: ourOut, enc: gob.NewEncoder(ourOut),
		answers: make(chan *answer, 16), ended: make(chan struct{}),
	}
	w.gone = func() bool { return oopsIn(console) != "" }
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = theirIn, theirOut, &w.stderr
	w.cmd.WaitDelay = time.Second
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig, as in startWorker
		defer runtime.UnlockOSThread()
		err := w.cmd.Start()
		started <- err
		if err == nil {
			w.cmd.Wait()
			w.epilogue(console, v.Console)
			os.RemoveAll(dir)
			close(w.ended)
		}
	}()
	err = <-started
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		ourOut.Close()
		ourIn.Close()
		return nil, fmt.Errorf("second kernel: %w", err)
	}
	if err := w.greet(ctx, ourIn, bootTime); err != nil {
		return nil, fmt.Errorf("second kernel: %w", err)
	}
	return w, nil
}

// epilogue keeps the end of what the kernel printed.
func (w *worker) epilogue(console string, to io.Writer) {
	b, err := os.ReadFile(console)
	if err != nil {
		return
	}
	if oops := oopsIn(console); oops != "" {
		b = []byte(oops)
	}
	w.stderr.Write(b)
	if to != nil {
		to.Write(b)
	}
}

// oopsLine is how a kernel begins to tell of a bug of its own.
var oopsLine = regexp.MustCompile(`(?m)^.*(BUG: |Oops: |Kernel panic|general protection fault|unable to handle).*$`)

// oopsIn returns what a console says of a failure of the kernel, from its first line.
func oopsIn(console string) string {
	b, err := os.ReadFile(console)
	if err != nil {
		return ""
	}
	at := oopsLine.FindIndex(b)
	if at == nil {
		return ""
	}
	return string(b[at[0]:min(len(b), at[0]+tailSizeMax)])
}

// writeInitrd writes the file system that the second kernel begins with: this
// program as /init, and the libraries that it needs if it is not static.
func writeInitrd(path string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	libs, err := libraries(exe)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	c := &cpio{w: f}
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "run"} {
		c.dir(dir)
	}
	c.device("dev/console", 5, 1)
	c.file("init", exe)
	for _, lib := range libs {
		c.parents(lib)
		c.file(strings.TrimPrefix(lib, "/"), lib)
	}
	c.end()
	if c.err != nil {
		return fmt.Errorf("initial file system: %w", c.err)
	}
	return f.Close()
}

// libraries returns the loader and the libraries of a program, by the paths at which
// the loader looks for them; none for a static one.
func libraries(exe string) ([]string, error) {
	f, err := elf.Open(exe)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				return nil, err
			}
			out = append(out, string(bytes.TrimRight(b, "\x00")))
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(names); i++ { // libraries of libraries are appended
		found := ""
		for _, dir := range []string{"/lib/x86_64-linux-gnu/", "/lib64/", "/usr/lib/x86_64-linux-gnu/", "/usr/lib64/", "/usr/lib/", "/lib/"} {
			if exists(dir + names[i]) {
				found = dir + names[i]
				break
			}
		}
		if found == "" {
			return nil, fmt.Errorf("library %s, which this program is linked with, is not found: build it with CGO_ENABLED=0", names[i])
		}
		if slices.Contains(out, found) {
			continue
		}
		out = append(out, found)
		if l, err := elf.Open(found); err == nil {
			more, _ := l.ImportedLibraries()
			l.Close()
			for _, m := range more {
				if !slices.Contains(names, m) {
					names = append(names, m)
				}
			}
		}
	}
	return out, nil
}

// cpio writes an archive in the form that kernels unpack
// (Documentation/driver-api/early-userspace/buffer-format.rst, "newc").
type cpio struct {
	w    io.Writer
	ino  int
	made []string
	err  error
}

func (c *cpio) header(name string, mode, size, major, minor int) {
	c.ino++
	links := 1
	c.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.ino, mode, 0, 0, links, 0, size, 0, 0, major, minor, len(name)+1, 0, name))
	c.pad(110 + len(name) + 1)
}

func (c *cpio) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

// pad fills what follows n bytes up to a multiple of four.
func (c *cpio) pad(n int) { c.write(make([]byte, -n&3)) }

func (c *cpio) dir(name string) {
	if !slices.Contains(c.made, name) {
		c.made = append(c.made, name)
		c.header(name, 0o40755, 0, 0, 0)
	}
}

// parents makes the directories above an absolute path.
func (c *cpio) parents(path string) {
	parts := strings.Split(strings.Trim(filepath.Dir(path), "/"), "/")
	for i := range parts {
		c.dir(strings.Join(parts[:i+1], "/"))
	}
}

func (c *cpio) device(name string, major, minor int) { c.header(name, 0o20600, 0, major, minor) }

func (c *cpio) file(name, from string) {
	b, err := os.ReadFile(from)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.header(name, 0o100755, len(b), 0, 0)
	c.write(b)
	c.pad(len(b))
}

func (c *cpio) end() { c.header("TRAILER!!!", 0, 0, 0, 0) }
