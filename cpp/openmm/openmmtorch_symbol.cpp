// What the OpenCL part of openmmtorch 1.5 lacks with OpenMM 8.6. It was linked to an OpenMM in which
// ContextImpl::getPositions had no second argument; that function is gone, and a TorchForce on the OpenCL
// platform ends the process with "symbol lookup error". This is the function under its old name. It is found
// once this library has been opened with RTLD_GLOBAL, as python/frames/openmm/guard.py does.

#include <openmm/Vec3.h>
#include <openmm/internal/ContextImpl.h>

#include <vector>

extern "C" __attribute__((visibility("default"))) void
frames_positions_of_openmm_8_5(OpenMM::ContextImpl* context, std::vector<OpenMM::Vec3>& positions) asm(
    "_ZN6OpenMM11ContextImpl12getPositionsERSt6vectorINS_4Vec3ESaIS2_EE");

void frames_positions_of_openmm_8_5(OpenMM::ContextImpl* context, std::vector<OpenMM::Vec3>& positions) {
  context->getPositions(positions);
}
