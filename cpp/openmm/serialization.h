#pragma once

#include <string>

#include "openmm/frames_force.h"

namespace frames {

/// Version of the XML. Raised when something is added; older versions stay readable.
/// 2: the box of the topology.
constexpr int serialization_version = 2;

/// Tells OpenMM how to write and read a FramesForce. May be called more than once.
void register_serialization();

/// XML of one force, as `XmlSerializer` writes it.
std::string to_xml(const FramesForce& force);

}  // namespace frames
