// Package labs holds the exercises of bpfvm and checks what students make of them.
//
// A lab is one txtar file: statements, then files. What begins with "solution/" or
// "hidden/" stays with the lab, the rest is what a student gets.
//
//	lab 6 "Packet bounds"   points 10   kernel 6.18
//	goal Prove to the verifier that every byte you read is there
//	edit drop.s
//	check verify drop.s accepted : 4
//	check run drop.s --packets packets.txt --expect results.txt : 4
//	check hidden run drop.s --packets hidden/packets.txt --expect hidden/results.txt : 2
//	hint 1 At which byte does the ARP operation begin?
//	misconception A long packet makes a read safe.
//	-- TASK.txt --
//	-- drop.s --
//	-- packets.txt --
//	-- results.txt --
//	-- solution/drop.s --
//
// # Statements
//
//	edit FILE ..                 what the student changes; the rest is only given
//	build OBJECT SOURCE [classic]
//	                             make an object for the student out of assembly
//	vary NAME 3..20              a number that differs from student to student; with
//	vary NAME 0x10..0xff         hexadecimal bounds it is written in hexadecimal
//	vary NAME one|two|three      one of several texts; \n is a new line
//	check [hidden] CHECK : POINTS
//	hint LEVEL TEXT              shown one after the other
//	misconception TEXT           shown after success
//
// ${NAME} stands for the value in every file. The same student has the same values on
// every machine, without any server: they are drawn from a hash of lab and student.
//
// # Checks
//
//	verify FILE.s accepted       the verifier's verdict on each program of the source
//	verify FILE.s rejected V012
//	run FILE.s --packets FILE --expect FILE
//	                             one packet in words a line, one result a line
//	fact OBJECT FILE NAME        the answer "NAME = .." in FILE is true of the object:
//	                             section offset slots first type attach license maps relocs
//	bytes FILE SOURCE            the slots in FILE, in hexadecimal, are those of SOURCE
//	returns FILE SOURCE          run, the slots return what SOURCE returns
//
// A failed check says what was wanted, what came, where they part, and which command
// shows it. [Exercise.Lint] proves of a lab that what the student gets fails and that
// the solution passes.
package labs
