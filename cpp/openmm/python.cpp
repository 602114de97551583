// The Python module frames._openmm. python/frames/openmm/framesforce.py is its typed face.
//
// Objects of OpenMM cross as the addresses that OpenMM's own Python classes hold (`int(force.this)`), and a
// new force as XML that OpenMM reads: so this module needs nothing of the tool that wraps OpenMM.
#include <openmm/OpenMMException.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "openmm/frames_force.h"
#include "openmm/serialization.h"

namespace py = pybind11;

namespace {

using frames::Error;
using frames::ForceSettings;
using frames::FramesForce;

FramesForce* cast(std::uintptr_t address) {
  return dynamic_cast<FramesForce*>(reinterpret_cast<OpenMM::Force*>(address));
}

FramesForce& force_at(std::uintptr_t address) {
  FramesForce* const force = cast(address);
  if (!force) throw Error("this force is no FramesForce");
  return *force;
}

OpenMM::Context& context_at(std::uintptr_t address) {
  return *reinterpret_cast<OpenMM::Context*>(address);
}

std::string new_force(const std::string& path, bool embed, int particles, std::vector<int> atoms,
                      std::vector<int> atomic_numbers, std::vector<std::pair<int, int>> bonds, bool periodic,
                      const std::vector<std::array<double, 3>>& topology_box, const std::string& backend,
                      const std::string& precision, double skin, const std::string& scale_parameter,
                      double scale_default) {
  ForceSettings settings(frames::ModelSource::from_file(path, embed));
  settings.particles = particles;
  settings.atoms = std::move(atoms);
  settings.atomic_numbers = std::move(atomic_numbers);
  settings.bonds = std::move(bonds);
  settings.periodic = periodic;
  for (const std::array<double, 3>& row : topology_box)
    settings.topology_box.emplace_back(row[0], row[1], row[2]);
  settings.backend = backend;
  settings.precision = precision;
  settings.skin = skin;
  settings.scale_parameter = scale_parameter;
  settings.scale_default = scale_default;
  frames::LoadOptions options;
  options.backend = backend;
  options.precision = precision;
  settings.model.check(options);
  return frames::to_xml(FramesForce(std::move(settings)));
}

py::dict settings_of(std::uintptr_t address) {
  const ForceSettings& settings = force_at(address).settings();
  py::dict result;
  result["model"] = settings.model.path();
  result["sha256"] = settings.model.sha256();
  result["embedded"] = settings.model.contents() != nullptr;
  result["particles"] = settings.particles;
  result["atoms"] = settings.atoms;
  result["atomic_numbers"] = settings.atomic_numbers;
  result["bonds"] = settings.bonds;
  result["periodic"] = settings.periodic;
  py::list box;
  for (const OpenMM::Vec3& row : settings.topology_box) box.append(py::make_tuple(row[0], row[1], row[2]));
  result["topology_box"] = box;
  result["backend"] = settings.backend;
  result["precision"] = settings.precision;
  result["skin"] = settings.skin;
  result["scale_parameter"] = settings.scale_parameter;
  result["scale_default"] = settings.scale_default;
  result["scale_derivative"] = settings.scale_derivative;
  return result;
}

py::array_t<double> atom_energies(std::uintptr_t force, std::uintptr_t context) {
  const std::vector<double> energies = force_at(force).atom_energies(context_at(context));
  return py::array_t<double>(static_cast<py::ssize_t>(energies.size()), energies.data());
}

py::array_t<double> atom_forces(std::uintptr_t force, std::uintptr_t context) {
  const std::vector<double> forces = force_at(force).atom_forces(context_at(context));
  return py::array_t<double>({static_cast<py::ssize_t>(forces.size() / 3), py::ssize_t{3}}, forces.data());
}

}  // namespace

PYBIND11_MODULE(_openmm, module) {
  module.doc() = "The compiled force of OpenMM; see frames.openmm.framesforce.";
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      py::set_error(py::module_::import("frames.errors").attr("FramesError"), error.what());
    } catch (const OpenMM::OpenMMException& error) {
      py::set_error(py::module_::import("openmm").attr("OpenMMException"), error.what());
    }
  });
  frames::register_serialization();
  module.def("new_force", &new_force, py::arg("path"), py::arg("embed"), py::arg("particles"),
             py::arg("atoms"), py::arg("atomic_numbers"), py::arg("bonds"), py::arg("periodic"),
             py::arg("topology_box"), py::arg("backend"), py::arg("precision"), py::arg("skin"),
             py::arg("scale_parameter"), py::arg("scale_default"), py::call_guard<py::gil_scoped_release>(),
             "XML of a new force, for XmlSerializer.");
  module.def("is_frames_force", [](std::uintptr_t address) { return cast(address) != nullptr; });
  module.def("settings", &settings_of, py::arg("force"));
  module.def("add_energy_parameter_derivative", [](std::uintptr_t force, const std::string& name) {
    force_at(force).add_energy_parameter_derivative(name);
  });
  module.def("atom_energies", &atom_energies, py::arg("force"), py::arg("context"));
  module.def("atom_forces", &atom_forces, py::arg("force"), py::arg("context"));
  module.def("backend_description", [](std::uintptr_t force, std::uintptr_t context) {
    return force_at(force).backend_description(context_at(context));
  });
  module.def("neighbour_list_builds", [](std::uintptr_t force, std::uintptr_t context) {
    return force_at(force).neighbour_list_builds(context_at(context));
  });
}
