// Package scenario holds the inputs of a run as data: event scripts, packets and
// captures, the contents of maps, and what is expected of the run.
package scenario
