//go:build unix

package subprocess

import (
	"os/exec"
	"syscall"
)

// inGroup makes a command the head of a process group of its own.
func inGroup(command *exec.Cmd) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
}

// killGroup sends SIGKILL to a program and its children.
func killGroup(command *exec.Cmd) { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
