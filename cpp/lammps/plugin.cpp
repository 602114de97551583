// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include <cstring>
#include <string>

#include "error.h"
#include "lammps.h"
#include "lammps/compute_frames.h"
#include "lammps/pair_frames.h"

// The interface between LAMMPS and its plugins, as src/PLUGIN/lammpsplugin.h documents it; the LAMMPS package
// for Python installs no such header.
extern "C" {
struct lammpsplugin_t {
  const char* version;
  const char* style;
  const char* name;
  const char* info;
  const char* author;
  union {
    void* (*of_pair)(void* lammps);
    void* (*of_compute)(void* lammps, int narg, char** arg);
  } creator;
  void* handle;
};
}

namespace {

/// Headers of another version describe other classes: running on would corrupt memory. The check is made when
/// a style is used, so that decks without it run on.
LAMMPS_NS::LAMMPS* checked(void* pointer, const std::string& style) {
  auto* lammps = static_cast<LAMMPS_NS::LAMMPS*>(pointer);
  if (std::strcmp(lammps->version, FRAMES_LAMMPS_VERSION) != 0) {
    lammps->error->all(FLERR, style + " was built for LAMMPS " FRAMES_LAMMPS_VERSION ", but this is LAMMPS " +
                                  lammps->version +
                                  "; install frames-md again so that it is built for this one");
  }
  return lammps;
}

void* create_pair(void* lammps) {
  return new LAMMPS_NS::PairFrames(checked(lammps, "pair_style frames"));
}

void* create_deviation(void* lammps, int narg, char** arg) {
  return new LAMMPS_NS::ComputeFramesDeviation(checked(lammps, "compute frames/deviation"), narg, arg);
}

void* create_atom(void* lammps, int narg, char** arg) {
  return new LAMMPS_NS::ComputeFramesAtom(checked(lammps, "compute frames/atom"), narg, arg);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lammps, void* handle,
                                                                         void* register_function) {
  const auto add = reinterpret_cast<void (*)(lammpsplugin_t*, void*)>(register_function);
  lammpsplugin_t plugin{
      FRAMES_LAMMPS_VERSION,   "pair",        "frames", "machine-learned force fields of FRAMES",
      "the frames-md authors", {create_pair}, handle};
  add(&plugin, lammps);
  plugin.style = "compute";
  plugin.name = "frames/deviation";
  plugin.info = "disagreement of a committee of FRAMES models";
  plugin.creator.of_compute = create_deviation;
  add(&plugin, lammps);
  plugin.name = "frames/atom";
  plugin.info = "per-atom outputs of FRAMES models";
  plugin.creator.of_compute = create_atom;
  add(&plugin, lammps);
}
