package terminal

// Style is a colour or a weight of text.
type Style string

const (
	// Plain is text as it is.
	Plain Style = ""
	// Bold is for headings.
	Bold Style = "1"
	// Faint is for what is said only to be complete.
	Faint Style = "2"
	// Red is for what is refused or removed.
	Red Style = "31"
	// Green is for what is allowed or added.
	Green Style = "32"
	// Yellow is for what waits.
	Yellow Style = "33"
	// Cyan is for places in a diff.
	Cyan Style = "36"
)

// Paint writes text in a style, where the screen has colours.
func (s Screen) Paint(style Style, text string) string {
	if !s.Colour || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}
