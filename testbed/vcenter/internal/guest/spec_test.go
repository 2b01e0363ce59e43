package guest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func arguments(t *testing.T, spec Spec) string {
	t.Helper()
	got, err := spec.Arguments(TCG, Unplugged{})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

func TestDrivesSitWhereTheConfigurationPutsThem(t *testing.T) {
	for bus, wanted := range map[Bus]string{
		IDE:         "ide-hd,id=drive7,bus=ide.1,unit=1",
		AHCI:        "ide-hd,id=drive7,bus=ctrl5.1",
		NVMe:        "nvme-ns,id=drive7,bus=ctrl5,nsid=2",
		ParaVirtual: "scsi-hd,id=drive7,bus=ctrl5.0,scsi-id=1",
		LsiLogicSAS: "scsi-hd,id=drive7,bus=ctrl5.0,scsi-id=1",
	} {
		got := arguments(t, Spec{
			Controllers: []Controller{{Key: 5, Bus: bus, Number: 1}},
			Drives:      []Drive{{Key: 7, Controller: 5, Unit: 1, Path: "/x"}},
		})
		if !strings.Contains(got, wanted) {
			t.Errorf("%s: no %q in %s", bus, wanted, got)
		}
	}
}

func TestADriveThatFitsNowhereIsAnError(t *testing.T) {
	for name, spec := range map[string]Spec{
		"a controller that is not there": {Drives: []Drive{{Key: 7, Controller: 5}}},
		"a unit beyond the controller's": {
			Controllers: []Controller{{Key: 5, Bus: IDE}}, Drives: []Drive{{Key: 7, Controller: 5, Unit: 2}},
		},
	} {
		if got, err := spec.Arguments(TCG, Unplugged{}); err == nil {
			t.Errorf("%s gave %v", name, got)
		}
	}
}

func TestAnEmptyTrayHasNoMedium(t *testing.T) {
	got := arguments(t, Spec{
		Controllers: []Controller{{Key: 200, Bus: IDE}}, Drives: []Drive{{Key: 3000, Controller: 200, CDROM: true}},
	})
	if !strings.Contains(got, "ide-cd,id=drive3000") || strings.Contains(got, "node3000") {
		t.Error(got)
	}
}

func TestNamesCannotAddOptions(t *testing.T) {
	got := arguments(t, Spec{Name: "a,process=b", Serials: []Serial{{Path: "/x,append=on"}}})
	for _, wanted := range []string{"guest=a,,process=b,debug", "path=/x,,append=on,append=off"} {
		if !strings.Contains(got, wanted) {
			t.Errorf("no %q in %s", wanted, got)
		}
	}
}

func TestAPidThatIsSomebodyElsesIsNotAGuest(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, pidName), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid, err := Running(folder); err == nil {
		t.Errorf("%d was taken for a guest", pid)
	}
}

func TestTheProbeTellsAnAcceleratorThatWorks(t *testing.T) {
	if !works(t.Context(), TCG) {
		t.Error("TCG does not work")
	}
	if works(t.Context(), "no-such-accelerator") {
		t.Error("no accelerator works")
	}
	if chosen := Choose(t.Context(), Auto); !slices.Contains([]Accelerator{TCG, KVM}, chosen) {
		t.Errorf("chose %s", chosen)
	}
}
