package runtime

import "time"

// HZ is the kernel's timer frequency in ticks a second that the coarse clock and
// jiffies follow (CONFIG_HZ=250, the default of most distributions).
const HZ = 250

// tick is the length of one timer tick in nanoseconds.
const tick = uint64(time.Second) / HZ

// Clock is the virtual time of a runtime. Nothing in it looks at the host: time
// stands still while a program runs, except for Step at each reading.
type Clock struct {
	// Now is CLOCK_MONOTONIC in nanoseconds.
	Now uint64
	// Step is added after each reading by a program, so that two readings
	// differ. 0 freezes the clock.
	Step uint64
	// Boot is what CLOCK_BOOTTIME is ahead: the time spent suspended.
	Boot uint64
	// TAI is what CLOCK_TAI is ahead of CLOCK_MONOTONIC.
	TAI uint64
}

// Set moves the clock to an absolute time.
func (c *Clock) Set(now uint64) { c.Now = now }

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) { c.Now += uint64(max(d, 0)) }

// Read returns the time and advances it by Step.
func (c *Clock) Read() uint64 {
	now := c.Now
	c.Now += c.Step
	return now
}

// Coarse returns the time of the last timer tick. It costs the kernel nothing to
// look at, so it does not step.
func (c *Clock) Coarse() uint64 { return c.Now - c.Now%tick }

// Jiffies returns the tick counter, which starts five minutes before it wraps in
// 32 bits (include/linux/jiffies.h, INITIAL_JIFFIES).
func (c *Clock) Jiffies() uint64 { return uint64(^uint32(300*HZ)+1) + c.Now/tick }
