package kernel

import (
	"strconv"
	"strings"
	"time"
)

// Stats are the figures at the end of a verifier log (kernel/bpf/verifier.c,
// print_verification_stats).
type Stats struct {
	Processed        int // instructions, over all paths
	Limit            int // of processed instructions
	MaxStatesPerInsn int
	TotalStates      int
	PeakStates       int
	MarkRead         int           // registers and slots whose reads were propagated
	Time             time.Duration // with LogStats only
	StackDepth       []int         // bytes, one for each function; with LogStats only
}

// parseStats reads the figures from the last lines of a log:
//
//	verification time 61 usec
//	stack depth 8+0
//	processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1
func parseStats(log string) Stats {
	var s Stats
	number := func(text string) int { n, _ := strconv.Atoi(text); return n }
	for range 4 {
		log = strings.TrimRight(log, "\n")
		line := log[strings.LastIndexByte(log, '\n')+1:]
		log = log[:len(log)-len(line)]
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "processed ") && len(f) >= 5:
			s.Processed = number(f[1])
			s.Limit = number(strings.TrimSuffix(f[4], ")"))
			for i := 5; i+1 < len(f); i += 2 {
				switch f[i] {
				case "max_states_per_insn":
					s.MaxStatesPerInsn = number(f[i+1])
				case "total_states":
					s.TotalStates = number(f[i+1])
				case "peak_states":
					s.PeakStates = number(f[i+1])
				case "mark_read":
					s.MarkRead = number(f[i+1])
				}
			}
		case strings.HasPrefix(line, "verification time ") && len(f) == 4:
			s.Time = time.Duration(number(f[2])) * time.Microsecond
		case strings.HasPrefix(line, "stack depth ") && len(f) == 3:
			for depth := range strings.SplitSeq(f[2], "+") {
				s.StackDepth = append(s.StackDepth, number(depth))
			}
		}
	}
	return s
}

// Message returns the last line of the log before the figures: of a rejection, the
// reason. It is empty without a log.
func (r *LoadResult) Message() string {
	log := r.Log
	for log != "" {
		log = strings.TrimRight(log, "\n")
		line := log[strings.LastIndexByte(log, '\n')+1:]
		log = log[:len(log)-len(line)]
		if !strings.HasPrefix(line, "processed ") && !strings.HasPrefix(line, "verification time ") &&
			!strings.HasPrefix(line, "stack depth ") {
			return line
		}
	}
	return ""
}
