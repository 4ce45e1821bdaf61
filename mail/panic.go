package mail

import (
	"fmt"
	"runtime"
)

// panicText names the value of a panic only if the runtime made it: any other
// may hold a secret.
func PanicText(value any) string {
	if err, ok := value.(runtime.Error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic of type %T", value)
}
