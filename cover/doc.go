// Package cover tells which instructions of programs ran, which lines of C they came
// from, and which way each branch went.
//
// A [Recorder] counts while programs run on its [Recorder.Engine], the checked
// interpreter; it may be used for many runtimes, one after the other: programs with
// the same name and the same instructions count together, so the cases of a test
// file add up. [Recorder.Report] gives the counts by program and by source file,
// [Report.WriteText] and [Report.WriteHTML] show them; the report itself is plain
// data for JSON.
//
// # What is counted
//
//   - An instruction is covered when it was executed at least once without a trap.
//     The second slot of a wide instruction is part of the first.
//   - A branch is a conditional jump; it has two ways, and each counts on its own. A
//     branch that always went one way is where a test is missing.
//   - A line is covered when all of its instructions ran, and partly covered when
//     some did. Compilers move and merge code: what a line shows is as exact as the
//     object's line information.
//
// May_goto and iterator loops are branches as well; so is every way that a helper's
// result is tested, since C's && and || are branches of their own.
package cover
