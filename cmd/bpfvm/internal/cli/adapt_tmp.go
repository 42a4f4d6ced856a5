package cli

import (
	"errors"

	"bpfvm/elf"
	"bpfvm/isa"
)

func writeObject(u *isa.Unit) ([]byte, error) { return nil, errors.ErrUnsupported }

func (a *app) loadOptions(name string) (elf.Options, error) { return elf.Options{Name: name}, nil }

func (a *app) writeBTF(o *object, name string) error { return errors.ErrUnsupported }

func cmdRun() *command { return cmdVersion() }
