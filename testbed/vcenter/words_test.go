package main

import (
	"testing"

	"github.com/vmware/govmomi/vim25/types"
)

func TestNamesAreEscapedOnce(t *testing.T) {
	for given, wanted := range map[string]string{
		"plain": "plain", "a/b": "a%2fb", `a\b`: "a%5cb", "50%": "50%25", "a%2fb": "a%2fb", "a%2Fb": "a%2fb", "%25": "%25",
	} {
		if got := escape(given); got != wanted {
			t.Errorf("%q became %q, not %q", given, got, wanted)
		}
	}
}

func TestTasksAreDescribedAsInVCenter(t *testing.T) {
	for method, wanted := range map[string]string{
		"PowerOnVM_Task": "VirtualMachine.powerOn", "Destroy_Task": "VirtualMachine.destroy", "CloneVM_Task": "VirtualMachine.clone",
	} {
		if got := describe("VirtualMachine", method); got != wanted {
			t.Errorf("%s is %s", method, got)
		}
	}
	for name, wanted := range map[string]string{
		"PowerOn": "PowerOnVM_Task", "MoveIntoFolder": "MoveIntoFolder_Task", "Whatever": "Whatever",
	} {
		if got := methodName(name); got != wanted {
			t.Errorf("%s is %s", name, got)
		}
	}
}

func TestFaultsSpeak(t *testing.T) {
	for wanted, fault := range map[string]types.BaseMethodFault{
		"Invalid datastore: nowhere.": &types.InvalidDatastore{Name: "nowhere"},
		"No compatible host.":         &types.NoCompatibleHost{},
		"its own words":               &types.InvalidState{VimFault: types.VimFault{MethodFault: said("its own words")}},
	} {
		if got := sentence(fault); got != wanted {
			t.Errorf("%T says %q", fault, got)
		}
	}
}

func TestTroubleThatCannotBeIsRefused(t *testing.T) {
	for _, wrong := range []injection{
		{Action: "explode"}, {Action: actionFault, Fault: "VirtualMachineConfigSpec"}, {Action: actionFault}, {Action: actionDelay},
	} {
		if wrong.check() == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
}

func TestAnInjectionIsUsedUp(t *testing.T) {
	list := injections{list: []*injection{{Method: "Login", Action: actionDelay, Count: 1}}}
	if list.take("Logout", actionDelay) != nil || list.take("Login", actionFault) != nil {
		t.Error("it met another call")
	}
	if list.take("Login", actionDelay) == nil || list.take("Login", actionDelay) != nil || len(list.pending()) != 0 {
		t.Error("it was not used once")
	}
}

func TestTheSerialNumberShowsTheUUID(t *testing.T) {
	wanted := "VMware-56 4d 1b 3c 1f 6e 4f 5a-8b 0e 6c 1d 2a 3b 4c 5d"
	if got := serialNumber("564d1b3c-1f6e-4f5a-8b0e-6c1d2a3b4c5d"); got != wanted {
		t.Error(got)
	}
}
