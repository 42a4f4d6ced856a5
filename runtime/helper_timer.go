package runtime

import (
	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_timer_init":         timerInit,
		"bpf_timer_set_callback": timerSetCallback,
		"bpf_timer_start":        timerStart,
		"bpf_timer_cancel":       timerCancel,
	})
	registerKfunc("bpf_wq_init", spec.RetInteger, "any any any", wqInit)
	registerKfunc("bpf_wq_set_callback_impl", spec.RetInteger, "any func any any", wqSetCallback)
	registerKfunc("bpf_wq_start", spec.RetInteger, "any any", wqStart)
}

// Clocks of bpf_timer_init (include/uapi/linux/time.h) and flags of bpf_timer_start.
const (
	maxClocks     = 16
	clockRealTime = 0
	clockMono     = 1
	clockBoot     = 7

	timerAbs    = 1 << 0 // BPF_F_TIMER_ABS
	timerCPUPin = 1 << 1 // BPF_F_TIMER_CPU_PIN
)

// timerInit is bpf_timer_init(timer, map, flags): flags is the clock.
func timerInit(e *Env, addr, handle, flags, _, _ uint64) (uint64, error) {
	if flags >= maxClocks || flags != clockRealTime && flags != clockMono && flags != clockBoot {
		return spec.EINVAL.Ret(), nil
	}
	return e.asyncInit(addr, handle, false)
}

// asyncInit is __bpf_async_init.
func (e *Env) asyncInit(addr, handle uint64, work bool) (uint64, error) {
	m, err := e.rt.mapAt(handle)
	if err != nil {
		return 0, err
	}
	if _, err := e.write(addr, 16); err != nil {
		return 0, err
	}
	if e.rt.timerAt(addr) != nil {
		return spec.EBUSY.Ret(), nil
	}
	if len(e.rt.timers) >= maxObjects {
		return spec.ENOMEM.Ret(), nil
	}
	t, err := e.newTimer(m, addr)
	if err != nil {
		return 0, err
	}
	if e.rt.timers == nil {
		e.rt.timers = map[uint64]*timer{}
	}
	t.work = work
	e.rt.timers[addr] = t
	return 0, nil
}

// timerSetCallback is bpf_timer_set_callback(timer, callback).
func timerSetCallback(e *Env, addr, callback, _, _, _ uint64) (uint64, error) {
	fn, err := e.m.Func(callback)
	if err != nil {
		return 0, err
	}
	t := e.rt.timerAt(addr)
	if t == nil {
		return spec.EINVAL.Ret(), nil
	}
	t.fn, t.prog = fn, e.prog
	return 0, nil
}

// timerStart is bpf_timer_start(timer, nsecs, flags). The function runs when the
// virtual clock is past that time: right after the program, or before the next event.
func timerStart(e *Env, addr, nsecs, flags, _, _ uint64) (uint64, error) {
	t := e.rt.timerAt(addr)
	if flags&^(timerAbs|timerCPUPin) != 0 || t == nil || t.fn == nil {
		return spec.EINVAL.Ret(), nil
	}
	if flags&timerAbs == 0 {
		nsecs += e.rt.Clock.Now
	}
	t.cpu = e.cpu
	e.rt.startTimer(t, nsecs)
	return 0, nil
}

// timerCancel is bpf_timer_cancel(timer): 1 when it was due, 0 when not; -EDEADLK
// from its own function.
func timerCancel(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	t := e.rt.timerAt(addr)
	switch {
	case t == nil:
		return spec.EINVAL.Ret(), nil
	case e.timer == t:
		return spec.EDEADLK.Ret(), nil
	}
	was := t.active
	t.active, t.fn = false, nil // drop_prog_refcnt
	return truth(was), nil
}

// wqInit is bpf_wq_init(wq, map, flags).
func wqInit(e *Env, addr, handle, flags, _, _ uint64) (uint64, error) {
	if flags != 0 {
		return spec.EINVAL.Ret(), nil
	}
	return e.asyncInit(addr, handle, true)
}

// wqSetCallback is bpf_wq_set_callback_impl(wq, callback, flags, aux).
func wqSetCallback(e *Env, addr, callback, flags, _, _ uint64) (uint64, error) {
	if flags != 0 {
		return spec.EINVAL.Ret(), nil
	}
	return timerSetCallback(e, addr, callback, 0, 0, 0)
}

// wqStart is bpf_wq_start(wq, flags).
func wqStart(e *Env, addr, flags, _, _, _ uint64) (uint64, error) {
	t := e.rt.timerAt(addr)
	if flags != 0 || t == nil || t.fn == nil {
		return spec.EINVAL.Ret(), nil
	}
	t.cpu = e.cpu
	e.rt.startTimer(t, e.rt.Clock.Now)
	return 0, nil
}
