// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/pair_frames.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "atom.h"
#include "comm.h"
#include "core/elements.h"
#include "core/error.h"
#include "core/torchscript_library.h"
#include "error.h"
#include "force.h"
#include "lammps/node.h"
#include "lammps/unit_conversion.h"
#include "memory.h"
#include "native/backend.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

constexpr int owner_width = 2;           // rank and index
constexpr int most_results = 18;         // force and virials of a ghost: 3 + 6 + 9
constexpr double mass_deviation = 0.02;  // relative; isotopes of heavy elements stay below it

std::vector<std::string> words(int count, char** arguments) {
  return {arguments, arguments + count};
}

}  // namespace

PairFrames::PairFrames(LAMMPS* lmp) : Pair(lmp) {
  single_enable = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  nextra = static_cast<int>(std::size(for_compute_pair_));
  pvector = for_compute_pair_;
}

PairFrames::~PairFrames() {
  // The wide ghost shell is of no use to the next pair style.
  if (ghost_cutoff_set_ > 0.0 && comm->cutghostuser == ghost_cutoff_set_)
    comm->cutghostuser = ghost_cutoff_before_;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairFrames::settings(int narg, char** arg) {
  // A model that was loaded with other settings has to be named again.
  model_.reset();
  for (int i = 1; allocated && i <= atom->ntypes; ++i) std::fill_n(setflag[i], atom->ntypes + 1, 0);
  try {
    settings_ = frames::parse_pair_style(words(narg, arg));
  } catch (const frames::Error& failure) {
    error->all(FLERR, std::string("pair_style frames: ") + failure.what());
  }
}

void PairFrames::coeff(int narg, char** arg) {
  frames::PairCoefficients coefficients;
  try {
    coefficients = frames::parse_pair_coeff(words(narg, arg), atom->ntypes);
  } catch (const frames::Error& failure) {
    error->all(FLERR, std::string("pair_style frames: ") + failure.what());
  }
  load(coefficients);
  set_scale(1.0);
  announce();
}

void PairFrames::announce() {
  if (comm->me != 0) return;
  const frames::Metadata& model = model_->metadata();
  std::string files;
  for (const std::string& file : coefficients_.files) files += (files.empty() ? "" : " ") + file;
  utils::logmesg(lmp, "pair_style frames: {}: {}, elements {}, cutoff {} A, {} layer(s), {}\n", files,
                 model.backbone, model.element_symbols(), model.cutoff, model.receptive_layers,
                 model_->description());
}

/// Reads the models and checks them against the atom types; stops the run if they do not fit.
void PairFrames::load(const frames::PairCoefficients& coefficients) {
  const std::string message = try_to_load(coefficients.files);
  if (!message.empty()) error->all(FLERR, "pair_style frames: " + message);
  if (settings_.watches() && model_->size() == 1) {
    error->all(
        FLERR,
        "pair_style frames: keyword threshold needs a committee: name two or more model files in pair_coeff");
  }
  coefficients_ = coefficients;
  map_types(coefficients.elements);
  make_builder();
}

/// Collective. Returns "" or what the first rank that failed has to say, the same on all.
std::string PairFrames::try_to_load(const std::vector<std::string>& files) {
  frames::LoadOptions options;
  options.backend = settings_.backend;
  options.device = settings_.device;
  options.local_rank = frames::rank_on_node(world);
  // OMP_NUM_THREADS or `package omp`, 1 without either, as LAMMPS prints it
  options.threads = comm->nthreads;
  std::string message;
  model_.reset();
  try {
    std::vector<std::unique_ptr<frames::Backend>> members;
    for (const std::string& file : files) {
      members.push_back(
          frames::load_model(file, options, {frames::native_factory(), frames::torchscript_factory()}));
    }
    model_ = std::make_unique<frames::Committee>(std::move(members));
  } catch (const std::exception& failure) {
    message = failure.what();
  }
  // Ranks may differ in what they can open (other machines, other GPUs): nobody goes on alone. All say what
  // the first that failed has to say, since output of a rank that aborts the others can be lost on its way.
  const int failed = message.empty() ? comm->nprocs : comm->me;
  int first = 0;
  MPI_Allreduce(&failed, &first, 1, MPI_INT, MPI_MIN, world);
  if (first == comm->nprocs) return "";
  model_.reset();
  int length = static_cast<int>(message.size());
  MPI_Bcast(&length, 1, MPI_INT, first, world);
  message.resize(static_cast<std::size_t>(length));
  MPI_Bcast(message.data(), length, MPI_CHAR, first, world);
  return (first > 0 ? "rank " + std::to_string(first) + ": " : "") + message;
}

void PairFrames::map_types(const std::vector<std::string>& symbols) {
  const int types = atom->ntypes;
  const frames::Metadata& model = model_->metadata();
  element_of_type_.assign(static_cast<std::size_t>(types) + 1, 0);
  for (int type = 1; type <= types; ++type) {
    const std::string& name = symbols[static_cast<std::size_t>(type - 1)];
    if (name == "NULL") {
      if (utils::strmatch(force->pair_style, "^hybrid")) continue;
      error->all(FLERR, "pair_style frames: atom type " + std::to_string(type) +
                            " is NULL, which needs pair_style hybrid and another style for it; " +
                            frames::coeff_syntax);
    }
    const int number = frames::atomic_number(name);
    if (number <= 0 || model.species_of(number) < 0) {
      error->all(FLERR, "pair_style frames: element " + name + " of atom type " + std::to_string(type) +
                            " is unknown to " + model.file + ", which knows " + model.element_symbols());
    }
    element_of_type_[static_cast<std::size_t>(type)] = number;
  }

  if (!allocated) {
    memory->create(setflag, types + 1, types + 1, "pair:setflag");
    memory->create(cutsq, types + 1, types + 1, "pair:cutsq");
    allocated = 1;
  }
  for (int i = 1; i <= types; ++i) {
    for (int j = 1; j <= types; ++j) {
      setflag[i][j] = i <= j && element_of_type_[static_cast<std::size_t>(i)] > 0 &&
                      element_of_type_[static_cast<std::size_t>(j)] > 0;
      cutsq[i][j] = model.cutoff * model.cutoff;
    }
  }
}

void PairFrames::make_builder() {
  const frames::Metadata& model = model_->metadata();
  std::vector<std::int32_t> species;
  for (const int number : element_of_type_) species.push_back(number > 0 ? model.species_of(number) : -1);
  const bool exchange = model_->exchanges_ghosts();
  builder_ = std::make_unique<frames::GraphBuilder>(model.cutoff, exchange ? 1 : model.receptive_layers,
                                                    exchange, model_->keeps_neighbour_list());
  builder_->set_species(std::move(species), model.shortest_distances);
  ghosts_ = std::make_unique<frames::GhostFeatures>(world);
  owners_.clear();
  evaluated_step_ = -1;
}

void PairFrames::init_style() {
  try {
    energy_factor_ = frames::unit_conversion(update->unit_style).energy;
  } catch (const frames::Error& failure) {
    error->all(FLERR, std::string(failure.what()));
  }
  if (!model_) error->all(FLERR, std::string("pair_style frames: no model; ") + frames::coeff_syntax);
  // Pairs are found in GraphBuilder: LAMMPS' lists leave out pairs that special_bonds excludes, and a model
  // needs all. A list is asked for only because some styles and computes expect every pair style to have one;
  // it is never built.
  neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_OCCASIONAL);
  // neighbor->exclude is set only after this, for the run that begins
  if (neighbor->nex_type + neighbor->nex_group + neighbor->nex_mol > 0 && comm->me == 0) {
    error->warning(FLERR, "pair_style frames: neigh_modify exclude has no effect on this style");
  }
  given_.clear();
  size_buffers();
  widen_ghost_shell();
  warn_about_masses();
  reported_ = false;
  watched_step_ = -1;  // atoms may have been moved since the last run, at the same step
  warned_.clear();
}

void PairFrames::init_list(int, NeighList* pointer) {
  list = pointer;
}

double PairFrames::init_one(int i, int j) {
  given_.emplace(i, j);
  return model_->metadata().cutoff;
}

/// In pair_style hybrid a later pair_coeff gives pairs of types to another style. A model cannot leave some
/// out, and they would count twice.
void PairFrames::check_pairs_of_types() const {
  const auto treated = [&](int type) { return element_of_type_[static_cast<std::size_t>(type)] > 0; };
  for (int i = 1; i <= atom->ntypes; ++i) {
    for (int j = i; j <= atom->ntypes; ++j) {
      if (!treated(i) || !treated(j) || given_.count({i, j}) > 0) continue;
      const std::string types = std::to_string(i) + " " + std::to_string(j);
      error->all(FLERR, "pair_style frames: pair_coeff gives atom types " + types +
                            " to another style, but the model has all pairs of its types, which would count "
                            "twice; use pair_style hybrid/overlay if both are meant, else leave out the "
                            "pair_coeff of " +
                            types);
    }
  }
}

void PairFrames::size_buffers() {
  comm_forward = owner_width;
  comm_reverse_off = most_results;
  // LAMMPS asks the outermost pair style, and pair_style hybrid copied these before the model was known.
  force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
  force->pair->comm_reverse_off = std::max(force->pair->comm_reverse_off, comm_reverse_off);
}

void PairFrames::widen_ghost_shell() {
  // On one rank every ghost is an image of an owned atom, which has its own edges already.
  if (comm->nprocs == 1 || model_->exchanges_ghosts()) return;
  const frames::Metadata& model = model_->metadata();
  const double needed = model.receptive_layers * model.cutoff + neighbor->skin;
  if (comm->mode != Comm::SINGLE) {
    error->all(FLERR, "pair_style frames: on more than one rank this model needs `comm_modify mode single`");
  }
  if (comm->cutghostuser >= needed) return;
  ghost_cutoff_before_ = comm->cutghostuser;
  ghost_cutoff_set_ = comm->cutghostuser = needed;
  if (comm->me == 0) {
    utils::logmesg(lmp, "pair_style frames: ghost atoms up to {} A, {} layers of {} A and the skin\n", needed,
                   model.receptive_layers, model.cutoff);
  }
}

void PairFrames::warn_about_masses() {
  if (comm->me != 0 || !atom->mass) return;
  for (int type = 1; type <= atom->ntypes; ++type) {
    const int element = element_of_type_[static_cast<std::size_t>(type)];
    const double weight = element > 0 ? frames::atomic_weight(element) : 0.0;
    if (weight == 0.0 || !atom->mass_setflag[type]) continue;
    if (std::abs(atom->mass[type] - weight) > mass_deviation * weight) {
      error->warning(FLERR, "pair_style frames: atom type " + std::to_string(type) + " is " +
                                frames::chemical_symbol(element) + " but has mass " +
                                std::to_string(atom->mass[type]) +
                                "; is the order of the elements in pair_coeff right?");
    }
  }
}

double PairFrames::memory_usage() {
  return Pair::memory_usage() + (builder_ ? builder_->memory_usage() + ghosts_->memory_usage() : 0.0) +
         static_cast<double>(owners_.capacity() * sizeof(frames::Owner)) +
         static_cast<double>((node_forces_.capacity() + node_virials_.capacity() + sums_.capacity() +
                              output_.atom_energies.capacity() + output_.edge_gradients.capacity()) *
                             sizeof(double));
}
