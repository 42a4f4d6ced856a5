package kernel

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"bpfvm/isa"
)

// readBack reads what the kernel made of a program. It is asked twice: for the
// sizes, then with room for them.
func readBack(fd int, p *wireProg, job *wireJob) (*ProgInfo, error) {
	var sizes progInfo
	if errno := getInfo(fd, &sizes); errno != 0 {
		return nil, fmt.Errorf("read %s back: %w", p.Name, errno)
	}
	out := &ProgInfo{
		ID: sizes.id, Name: text(sizes.name[:]), Tag: hex.EncodeToString(sizes.tag[:]),
		VerifiedInsns: sizes.verifiedInsns, XlatedLen: sizes.xlatedLen, JitedLen: sizes.jitedLen,
		GPL: sizes.gplCompatible&1 != 0,
	}
	if job.Want == 0 {
		return out, nil
	}
	var info progInfo
	var xlated, jited, funcs, lines []byte
	var ksyms, jitedLines []uint64
	var lens []uint32
	if job.Want&WantXlated != 0 {
		xlated = make([]byte, sizes.xlatedLen)
		info.xlatedLen, info.xlated = sizes.xlatedLen, pointTo(xlated)
	}
	if job.Want&(WantJited|WantSymbols) != 0 {
		jited = make([]byte, sizes.jitedLen)
		info.jitedLen, info.jited = sizes.jitedLen, pointTo(jited)
		lens = make([]uint32, sizes.funcLenCount)
		info.funcLenCount, info.funcLens = sizes.funcLenCount, pointTo(lens)
		ksyms = make([]uint64, sizes.ksymCount)
		info.ksymCount, info.ksyms = sizes.ksymCount, pointTo(ksyms)
		jitedLines = make([]uint64, sizes.jitedLineInfoCount)
		info.jitedLineInfoCount, info.jitedLineInfo, info.jitedLineInfoRec = sizes.jitedLineInfoCount, pointTo(jitedLines), 8
	}
	funcs = make([]byte, sizes.funcInfoCount*funcInfoSize)
	info.funcInfoCount, info.funcInfo, info.funcInfoRec = sizes.funcInfoCount, pointTo(funcs), funcInfoSize
	lines = make([]byte, sizes.lineInfoCount*lineInfoSize)
	info.lineInfoCount, info.lineInfo, info.lineInfoRec = sizes.lineInfoCount, pointTo(lines), lineInfoSize
	if errno := getInfo(fd, &info); errno != 0 {
		return nil, fmt.Errorf("read %s back: %w", p.Name, errno)
	}
	if info.xlated.p != nil {
		prog, err := isa.Decode(xlated[:min(len(xlated), int(info.xlatedLen))])
		if err != nil {
			return nil, fmt.Errorf("read %s back: %w", p.Name, err)
		}
		out.Xlated = prog
	}
	names := blobStrings(job.BTF)
	at := linesOf(lines, names)
	if out.Xlated != nil {
		out.XlatedLines = at
	}
	if jited == nil {
		return out, nil
	}
	out.Jited = cutFuncs(p, jited, lens, ksyms)
	for i, addr := range jitedLines {
		if i < len(at) && addr != 0 {
			out.JitedLines = append(out.JitedLines, JitedLine{Addr: addr, Line: at[i]})
		}
	}
	slices.SortStableFunc(out.JitedLines, func(a, b JitedLine) int { return cmp.Compare(a.Addr, b.Addr) })
	if job.Want&WantSymbols != 0 {
		symbols, err := symbolsAt(ksyms)
		if err != nil {
			return nil, err
		}
		for i := range out.Jited {
			out.Jited[i].Symbol = symbols[out.Jited[i].Addr]
		}
	}
	return out, nil
}

// cutFuncs cuts the image at the lengths of its functions. They come in the order
// of the program's functions; the kernel appends one of its own where a program
// needs it for exceptions.
func cutFuncs(p *wireProg, image []byte, lens []uint32, ksyms []uint64) []JitedFunc {
	var out []JitedFunc
	for i, n := range lens {
		if uint64(n) > uint64(len(image)) {
			n = uint32(len(image))
		}
		f := JitedFunc{Code: image[:n]}
		image = image[n:]
		if i < len(ksyms) {
			f.Addr = ksyms[i]
		}
		if i < len(p.Funcs) {
			f.Name = p.Funcs[i]
		} else if i == 0 {
			f.Name = p.Name
		}
		out = append(out, f)
	}
	if len(lens) == 0 && len(image) > 0 {
		out = append(out, JitedFunc{Name: p.Name, Code: image})
	}
	return out
}

// blobStrings returns the strings of BTF that bytes made.
func blobStrings(blob []byte) []byte {
	if len(blob) < btfHeaderSize {
		return nil
	}
	return blob[btfHeaderSize+binary.LittleEndian.Uint32(blob[12:]):]
}

// linesOf reads struct bpf_line_info records.
func linesOf(records, names []byte) []Line {
	le := binary.LittleEndian
	str := func(off uint32) string {
		if uint64(off) >= uint64(len(names)) {
			return ""
		}
		s, _, _ := bytes.Cut(names[off:], []byte{0})
		return string(s)
	}
	var out []Line
	for r := range slices.Chunk(records, lineInfoSize) {
		col := le.Uint32(r[12:])
		out = append(out, Line{
			PC: isa.PC(le.Uint32(r)), File: str(le.Uint32(r[4:])), Text: str(le.Uint32(r[8:])),
			Line: int(col >> 10), Col: int(col & 0x3ff),
		})
	}
	return out
}
