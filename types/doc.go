// Package types reads the types that programs carry and the kernel publishes:
// BTF, the BPF Type Format. It answers four questions.
//
//   - What is in this BTF? [Load] parses a blob that it distrusts; [Target] is
//     the embedded BTF of Linux 6.18.
//   - How is this type written in C? [Define] and [Declare]; [Dump] writes all of
//     them as a header that compiles. [FromDWARF] reads them from debugging
//     information where there is no BTF.
//   - Where is this field? [FieldOffset], [StructLayout] and [TracepointArgs].
//   - What do these bytes mean? [Format] turns them into JSON and [Parse] back,
//     [Text] into one line in C's initialiser style; [FormatRaw], [ParseRaw] and
//     [TextRaw] do it for maps without type information.
//
// A BTF type is a node in a graph: a pointer to the struct, whose member is an
// array, whose element is a typedef. Types of this package's functions are those
// of github.com/cilium/ebpf/btf. Graphs come from untrusted files, so that every
// walk is bounded in depth and in the amount of its output.
package types
