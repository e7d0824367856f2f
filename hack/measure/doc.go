// Package measure carries out experiments, puts load on what they try, and says what was seen: claims that must hold, and
// figures as medians with their spread, on the screen and between the markers of a document. What takes a while is
// compared with what was done just before on the same machine, as other work on it disturbs all figures.
package measure
