#include "openmm/frames_force_impl.h"

#include <openmm/internal/ContextImpl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>

#include "core/elements.h"
#include "core/error.h"
#include "core/structure.h"
#include "core/units.h"
#include "openmm/python_lock.h"

namespace frames {

namespace {

constexpr double angstrom_per_nm = 1.0 / units::nm_per_angstrom;
constexpr double kj_per_mol = units::kj_per_mol_per_ev;
constexpr double force_unit = units::kj_per_mol_per_ev / units::nm_per_angstrom;  // kJ/mol/nm per eV/Å
constexpr std::size_t most_atoms_named = 5;
constexpr double default_box = 2.0;  // nm, the edge of the cube that OpenMM gives a System without box
constexpr double same_box = 1e-3;    // nm; files round lengths

[[noreturn]] void stop(const std::string& what) {
  throw OpenMM::OpenMMException("FramesForce: " + what);
}

/// On OpenMM 8.6.1 with an H100 every evaluation there ended the process, for a reason that is not known; a
/// message is better. Whoever looks for the reason sets the variable.
void refuse_cuda(const OpenMM::Platform& platform) {
  if (platform.getName() != "CUDA" || std::getenv("FRAMES_OPENMM_CUDA")) return;
  stop(
      "it cannot be used on the CUDA platform yet, where it was seen to end the process; name the CPU "
      "platform, since the model is evaluated on the processor in any case (FRAMES_OPENMM_CUDA=1 in the "
      "environment tries CUDA)");
}

/// What the user gave the CPU platform to run on, 1 elsewhere: a GPU platform has no say about processors.
int threads_of(OpenMM::ContextImpl& context) {
  const OpenMM::Platform& platform = context.getPlatform();
  for (const std::string& name : platform.getPropertyNames()) {
    if (name == "Threads")
      return std::max(1, std::atoi(platform.getPropertyValue(context.getOwner(), name).c_str()));
  }
  return 1;
}

}  // namespace

FramesForceImpl::FramesForceImpl(const FramesForce& owner)
    : CustomCPPForceImpl(owner), owner_(owner), settings_(owner.settings()) {}

void FramesForceImpl::initialize(OpenMM::ContextImpl& context) {
  const int particles = context.getSystem().getNumParticles();
  if (particles != settings_.particles) {
    stop("was made for " + std::to_string(settings_.particles) + " particles but the system has " +
         std::to_string(particles) + "; make it again from the topology of this system");
  }
  refuse_cuda(context.getPlatform());
  std::vector<std::int32_t> species;
  try {
    LoadOptions options;
    options.backend = settings_.backend;
    options.precision = settings_.precision;
    options.threads = threads_of(context);
    const WithoutPythonLock unlocked;
    backend_ = settings_.model.open(options);
    const Metadata& metadata = backend_->metadata();
    for (const int number : settings_.atomic_numbers) {
      species.push_back(metadata.species_of(number));
      if (species.back() < 0) {
        throw Error(atom_name(species.size() - 1) + ": the model " + settings_.model.name() +
                    " does not know its element; it knows " + metadata.element_symbols());
      }
    }
  } catch (const std::exception& error) {
    stop(error.what());
  }
  pairs_ = std::make_unique<VerletList>(backend_->metadata().cutoff, settings_.skin * angstrom_per_nm,
                                        settings_.periodic, std::move(species));
  CustomCPPForceImpl::initialize(context);
}

std::string FramesForceImpl::atom_name(std::size_t atom) const {
  const int number = settings_.atomic_numbers[atom];
  const std::string symbol =
      number >= 1 && number <= 118 ? chemical_symbol(number) : "atomic number " + std::to_string(number);
  return "particle " + std::to_string(settings_.atoms[atom]) + " (" + symbol + ")";
}

void FramesForceImpl::take_positions(OpenMM::ContextImpl& context,
                                     const std::vector<OpenMM::Vec3>& positions) {
  const std::vector<int>& atoms = settings_.atoms;
  positions_.resize(3 * atoms.size());
  for (std::size_t i = 0; i < atoms.size(); ++i) {
    const OpenMM::Vec3& position = positions[static_cast<std::size_t>(atoms[i])];
    for (int k = 0; k < 3; ++k)
      positions_[3 * i + static_cast<std::size_t>(k)] = angstrom_per_nm * position[k];
    if (!std::isfinite(position[0] + position[1] + position[2])) {
      stop("the position of " + atom_name(i) +
           " is not finite; the simulation has become unstable: shorten the time step or minimise first");
    }
  }
  if (!settings_.periodic) return;
  OpenMM::Vec3 rows[3];
  context.getPeriodicBoxVectors(rows[0], rows[1], rows[2]);
  if (!box_checked_) check_box(rows);
  box_checked_ = true;  // what a barostat or a script makes of it later is meant
  for (std::size_t row = 0; row < 3; ++row) {
    for (int k = 0; k < 3; ++k) cell_[3 * row + static_cast<std::size_t>(k)] = angstrom_per_nm * rows[row][k];
  }
}

/// OpenMM gives a System that was given no box a cube of 2 nm, and neither System nor Simulation looks at the
/// topology: atoms would meet images that are not there.
void FramesForceImpl::check_box(const OpenMM::Vec3 (&rows)[3]) const {
  if (settings_.topology_box.empty()) return;
  double difference = 0.0;
  std::string box;
  for (int row = 0; row < 3; ++row) {
    const OpenMM::Vec3& wanted = settings_.topology_box[static_cast<std::size_t>(row)];
    for (int k = 0; k < 3; ++k) {
      const double of_default = row == k ? default_box : 0.0;
      if (rows[row][k] != of_default) return;
      difference = std::max(difference, std::abs(wanted[k] - of_default));
    }
    char numbers[96];
    std::snprintf(numbers, sizeof numbers, " (%.5g, %.5g, %.5g)", wanted[0], wanted[1], wanted[2]);
    box += numbers;
  }
  if (difference <= same_box) return;
  stop(
      "the box is a cube of 2 nm, which OpenMM gives a System without box, but the topology has the box "
      "vectors" +
      box +
      " nm; call system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors()) before the Context "
      "is made");
}

double FramesForceImpl::computeForce(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& positions,
                                     std::vector<OpenMM::Vec3>& forces) {
  evaluated_ = false;
  take_positions(context, positions);
  try {
    const WithoutPythonLock unlocked;
    pairs_->update(positions_, cell_);
    backend_->evaluate(pairs_->graph(), nullptr, output_);
  } catch (const std::exception& error) {  // out of memory, too: some platforms end the process otherwise
    stop(settings_.model.renamed(error.what(), *backend_));
  }
  forces_.assign(positions_.size(), 0.0);
  add_forces(pairs_->graph(), output_.edge_gradients, forces_.data(), nullptr);
  check_finite();
  evaluated_ = true;

  const double scale =
      settings_.scale_parameter.empty() ? 1.0 : context.getParameter(settings_.scale_parameter);
  std::fill(forces.begin(), forces.end(), OpenMM::Vec3());
  for (std::size_t i = 0; i < settings_.atoms.size(); ++i) {
    const double factor = scale * force_unit;
    forces[static_cast<std::size_t>(settings_.atoms[i])] =
        OpenMM::Vec3(factor * forces_[3 * i], factor * forces_[3 * i + 1], factor * forces_[3 * i + 2]);
  }
  return scale * kj_per_mol * output_.energy;
}

void FramesForceImpl::check_finite() const {
  double sum = output_.energy;  // one number that is not finite makes the sum so
  for (const double force : forces_) sum += force;
  if (std::isfinite(sum)) return;
  const Graph& graph = pairs_->graph();
  std::string atoms, closest;
  std::size_t bad_atoms = 0;
  double shortest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < output_.atom_energies.size(); ++i) {
    const double* const force = forces_.data() + 3 * i;
    if (!std::isfinite(output_.atom_energies[i] + force[0] + force[1] + force[2]) &&
        bad_atoms++ < most_atoms_named)
      atoms += (atoms.empty() ? " " : ", ") + atom_name(i);
    const auto end = static_cast<std::size_t>(graph.offsets[i + 1]);
    for (auto e = static_cast<std::size_t>(graph.offsets[i]); e < end; ++e) {
      const double* const vector = graph.vectors.data() + 3 * e;
      const double distance = std::hypot(vector[0], vector[1], vector[2]);
      if (distance >= shortest) continue;
      shortest = distance;
      closest = atom_name(i) + " and " + atom_name(static_cast<std::size_t>(graph.neighbours[e]));
    }
  }
  char distance[32];
  std::snprintf(distance, sizeof distance, "%.3g", shortest * units::nm_per_angstrom);
  stop("the energy or the forces are not finite at " + std::to_string(bad_atoms) + " atom(s):" + atoms +
       (bad_atoms > most_atoms_named ? " ..." : "") +
       (closest.empty() ? std::string() : "; the closest are " + closest + ", " + distance + " nm apart"));
}

void FramesForceImpl::check_evaluated() const {
  if (!evaluated_) throw Error("the force was not evaluated in this Context yet; ask for its energy first");
}

std::vector<double> FramesForceImpl::atom_energies() const {
  check_evaluated();
  std::vector<double> energies = output_.atom_energies;
  for (double& energy : energies) energy *= kj_per_mol;
  return energies;
}

std::vector<double> FramesForceImpl::atom_forces() const {
  check_evaluated();
  std::vector<double> forces = forces_;
  for (double& force : forces) force *= force_unit;
  return forces;
}

std::map<std::string, double> FramesForceImpl::getDefaultParameters() {
  if (settings_.scale_parameter.empty()) return {};
  return {{settings_.scale_parameter, settings_.scale_default}};
}

std::vector<std::pair<int, int>> FramesForceImpl::getBondedParticles() const {
  return settings_.bonds;
}

}  // namespace frames
