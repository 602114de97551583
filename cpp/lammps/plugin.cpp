// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include <cstring>
#include <string>

#include "error.h"
#include "lammps.h"
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
  void* (*creator)(void* lammps);
  void* handle;
};
}

namespace {

/// Headers of another version describe other classes: running on would corrupt memory. The check is made when
/// the style is used, so that decks without it run on.
void* create_pair(void* pointer) {
  auto* lammps = static_cast<LAMMPS_NS::LAMMPS*>(pointer);
  if (std::strcmp(lammps->version, FRAMES_LAMMPS_VERSION) != 0) {
    lammps->error->all(
        FLERR,
        std::string("pair_style frames was built for LAMMPS " FRAMES_LAMMPS_VERSION ", but this is LAMMPS ") +
            lammps->version + "; install frames-md again so that it is built for this one");
  }
  return new LAMMPS_NS::PairFrames(lammps);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lammps, void* handle,
                                                                         void* register_function) {
  lammpsplugin_t plugin{
      FRAMES_LAMMPS_VERSION,   "pair",      "frames", "machine-learned force fields of FRAMES",
      "the frames-md authors", create_pair, handle};
  reinterpret_cast<void (*)(lammpsplugin_t*, void*)>(register_function)(&plugin, lammps);
}
