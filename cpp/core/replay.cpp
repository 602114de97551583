#include "core/replay.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/error.h"
#include "core/structure.h"

namespace frames {

namespace {

/// What rounding errors are relative to, at least 1 in the unit of the quantity.
struct Scales {
  double energy = 1.0;  // eV, per atom
  double force = 1.0;   // eV/Å
  double virial = 1.0;  // eV
};

Scales scales_of(const Graph& graph, const Output& output, const Metadata& metadata) {
  Scales scales;
  double virial = 0.0;
  for (std::size_t i = 0; i < output.atom_energies.size(); ++i) {
    const double reference = metadata.energy_reference[static_cast<std::size_t>(graph.species[i])];
    scales.energy = std::max(scales.energy, std::abs(output.atom_energies[i] - reference));
    double force = 0.0;
    const auto begin = static_cast<std::size_t>(graph.offsets[i]),
               end = static_cast<std::size_t>(graph.offsets[i + 1]);
    for (std::size_t e = begin; e < end; ++e) {
      const double* g = output.edge_gradients.data() + 3 * e;
      const double* v = graph.vectors.data() + 3 * e;
      force += std::hypot(g[0], g[1], g[2]);
      virial += std::hypot(g[0], g[1], g[2]) * std::hypot(v[0], v[1], v[2]);
    }
    scales.force = std::max(scales.force, force);
  }
  scales.virial = std::max(scales.virial, virial);
  return scales;
}

void compare(const Backend& backend, const char* quantity, const char* unit, double found, double stored,
             double scale) {
  const double deviation = std::abs(found - stored);
  if (deviation <= backend.tolerance() * scale) return;
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "%.10g %s instead of %.10g (%.1e apart, at most %.1e is rounding)",
                found, unit, stored, deviation, backend.tolerance() * scale);
  throw Error(backend.metadata().file + ": backend \"" + backend.description() +
              "\" does not reproduce the stored test frame: " + quantity + " " + numbers +
              "; the file or the installation is damaged: export the model again, or choose another backend");
}

}  // namespace

void replay_test_frame(Backend& backend, const TestFrame& frame) {
  const Metadata& metadata = backend.metadata();
  std::vector<std::int32_t> species;
  for (const int z : frame.atomic_numbers) species.push_back(metadata.species_of(z));
  Graph graph;
  Output output;
  try {
    build_graph(species, frame.positions, frame.cell, frame.periodic, metadata.cutoff, graph);
  } catch (const Error& error) {
    throw Error(metadata.file + ": test frame: " + error.what() + "; export the model again");
  }
  backend.evaluate(graph, nullptr, output);

  std::vector<double> forces(frame.positions.size(), 0.0);
  std::array<double, 9> virial{};
  add_forces(graph, output.edge_gradients, forces.data(), virial.data());
  const Scales scales = scales_of(graph, output, metadata);
  const auto atoms = static_cast<double>(species.size());
  compare(backend, "energy", "eV", output.energy, frame.energy, scales.energy * atoms);
  for (std::size_t i = 0; i < species.size(); ++i) {
    compare(backend, "an atom's energy", "eV", output.atom_energies[i], frame.atom_energies[i],
            scales.energy);
  }
  for (std::size_t k = 0; k < forces.size(); ++k) {
    compare(backend, "a force", "eV/Å", forces[k], frame.forces[k], scales.force);
  }
  for (std::size_t k = 0; k < virial.size(); ++k) {
    compare(backend, "the virial", "eV", virial[k], frame.virial[k], scales.virial);
  }
}

}  // namespace frames
