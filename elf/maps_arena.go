package elf

import (
	"bytes"

	"bpfvm/spec"
)

// An arena is a map whose memory programs address with plain pointers. Its
// variables are those that C declares in address space 1; the compiler puts them
// into a section of their own. They lie at the start of the arena, which the
// object must define in .maps, and only one (libbpf.c, init_arena_map_data).

// arenaPage is the unit of an arena's max_entries (kernel/bpf/arena.c,
// arena_map_alloc).
const arenaPage = 4096

// readArenaData gives the arena of the object its initial bytes.
func (l *loader) readArenaData(s *Section) {
	key := mapKey{s.Index, 0}
	var arena *spec.MapSpec
	for _, m := range l.out.Maps {
		switch {
		case m.Type != spec.MapArena:
		case arena != nil:
			l.refuseMap(key, s.Name, s, formatErr("variables of an arena, but the object has two: %s and %s", quoteName(arena.Name), quoteName(m.Name)))
			return
		default:
			arena = m
		}
	}
	if arena == nil {
		l.refuseMap(key, s.Name, s, formatErr("variables of an arena, but no map of type arena"))
		return
	}
	if s.Size > uint64(arena.MaxEntries)*arenaPage {
		l.refuseMap(key, s.Name, s, formatErr("%d bytes of variables, arena %s has %d pages of %d bytes", s.Size, quoteName(arena.Name), arena.MaxEntries, arenaPage))
		return
	}
	if err := l.chargeData(s); err != nil {
		l.refuseMap(key, s.Name, s, err)
		return
	}
	contents := bytes.Clone(s.data)
	if s.Type == shtNobits {
		contents = make([]byte, s.Size)
	}
	arena.Contents = []spec.MapKV{{Key: arrayKey(0), Value: contents}}
	l.maps[key] = arena
}
