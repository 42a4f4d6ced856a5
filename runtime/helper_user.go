package runtime

import (
	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_copy_from_user":      copyFromUser,
		"bpf_copy_from_user_task": copyFromUserTask,
		"bpf_probe_write_user":    probeWriteUser,
		"bpf_send_signal":         sendSignal(false),
		"bpf_send_signal_thread":  sendSignal(true),
		"bpf_find_vma":            findVMA,
		"bpf_get_task_stack":      getTaskStack,
	})
}

// copyFromUser is bpf_copy_from_user(dst, size, user_ptr): all of it, or zeroes and
// -EFAULT. The memory of the scenario is always there, so nothing sleeps.
func copyFromUser(e *Env, dst, size, addr, _, _ uint64) (uint64, error) {
	b, err := e.write(dst, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	return e.probeFill(b, addr, userSpace).Ret(), nil
}

// copyFromUserTask is bpf_copy_from_user_task(dst, size, user_ptr, task, flags). All
// tasks of a scenario share one user memory.
func copyFromUserTask(e *Env, dst, size, addr, _, flags uint64) (uint64, error) {
	b, err := e.write(dst, uint64(uint32(size)))
	switch {
	case err != nil:
		return 0, err
	case flags != 0:
		return spec.EINVAL.Ret(), nil
	}
	return e.probeFill(b, addr, userSpace).Ret(), nil
}

// probeWriteUser is bpf_probe_write_user(dst, src, len).
func probeWriteUser(e *Env, dst, src, size, _, _ uint64) (uint64, error) {
	b, err := e.read(src, uint64(uint32(size)))
	switch {
	case err != nil:
		return 0, err
	case e.rt.task.KernelThread:
		return spec.EPERM.Ret(), nil
	case dst >= taskSize || e.rt.mem.Find(dst) != nil:
		return spec.EFAULT.Ret(), nil
	}
	// What is not there is found out before a byte is written.
	if e.rt.mem.Foreign.Read(make([]byte, len(b)), dst) != len(b) {
		return spec.EFAULT.Ret(), nil
	}
	e.rt.mem.Foreign.Write(dst, b)
	return 0, nil
}

// Signal is a signal that a program sent to the current task.
type Signal struct {
	PID    uint32 // the thread for bpf_send_signal_thread, else the process
	Number uint32
	Thread bool
}

// maxSignal is _NSIG on x86-64.
const maxSignal = 64

// initPID is the process that programs cannot signal (is_global_init).
const initPID = 1

// sendSignal makes bpf_send_signal(sig) and bpf_send_signal_thread
// (kernel/trace/bpf_trace.c, bpf_send_signal_common).
func sendSignal(thread bool) helperFunc {
	return func(e *Env, sig, _, _, _, _ uint64) (uint64, error) {
		t := &e.rt.task
		sig = uint64(uint32(sig))
		switch {
		case t.KernelThread || t.TGID == initPID:
			return spec.EPERM.Ret(), nil
		case sig > maxSignal:
			return spec.EINVAL.Ret(), nil
		}
		s := Signal{PID: t.TGID, Number: uint32(sig), Thread: thread}
		if thread {
			s.PID = t.PID
		}
		if !e.spend(0) {
			return spec.EBUSY.Ret(), nil
		}
		e.signals = append(e.signals, s)
		return 0, nil
	}
}

// findVMA is bpf_find_vma(task, addr, callback, ctx, flags): the tasks of a scenario
// have no mappings that could be found.
func findVMA(_ *Env, _, _, _, _, flags uint64) (uint64, error) {
	if flags != 0 {
		return spec.EINVAL.Ret(), nil
	}
	return spec.ENOENT.Ret(), nil
}

// getTaskStack is bpf_get_task_stack(task, buf, size, flags): of the current task;
// nothing is known of what others are doing.
func getTaskStack(e *Env, task, buf, size, flags, _ uint64) (uint64, error) {
	if task == e.rt.tasks.current(e.rt) {
		return getStack(e, 0, buf, size, flags, 0)
	}
	b, err := e.write(buf, uint64(uint32(size)))
	clear(b)
	return spec.EFAULT.Ret(), err
}
