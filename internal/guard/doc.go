// Package guard compiles the guards of policies and evaluates them: expressions in CEL, in the dialect and with the
// libraries of ValidatingAdmissionPolicy, about one action in normal form.
//
// Compile finds all that is wrong with a guard, in words and with positions. An Evaluation holds what the expressions
// read about one action, built once and only when asked for, and what is left of the limits; Evaluation.Run says
// whether a guard passes. Whatever goes wrong on the way fails the guard, and never panics.
//
// Expressions see the content of objects as it is, secret values included. What they say about it to people is made of
// redacted content: see Evaluation.
//
// The package is pure. It has no client, no clock and no logger.
package guard
