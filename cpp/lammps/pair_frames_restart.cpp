// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

// Restart files: settings, and models by path and checksum. LAMMPS writes them on rank 0 and reads them on
// all.

#include <cstdint>
#include <filesystem>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "lammps/pair_frames.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

constexpr std::int32_t restart_version = 1;
constexpr std::int32_t longest_text = 1 << 16;
constexpr std::int32_t most_texts = 1 << 16;

template <class T>
void put(FILE* file, const T& value) {
  std::fwrite(&value, sizeof value, 1, file);
}

void put(FILE* file, const std::string& text) {
  put(file, static_cast<std::int32_t>(text.size()));
  std::fwrite(text.data(), 1, text.size(), file);
}

void put(FILE* file, const std::vector<std::string>& texts) {
  put(file, static_cast<std::int32_t>(texts.size()));
  for (const std::string& text : texts) put(file, text);
}

/// Reads on rank 0 what `put` wrote, and tells the others.
class Reader : protected Pointers {
 public:
  Reader(LAMMPS* lmp, FILE* file) : Pointers(lmp), file_(file) {}

  template <class T>
  T value() {
    T value{};
    bytes(&value, sizeof value);
    return value;
  }
  std::string text() {
    std::string text(static_cast<std::size_t>(count(longest_text)), '\0');
    if (!text.empty()) bytes(text.data(), text.size());
    return text;
  }
  std::vector<std::string> texts() {
    std::vector<std::string> texts(static_cast<std::size_t>(count(most_texts)));
    for (std::string& text : texts) text = this->text();
    return texts;
  }

 private:
  std::int32_t count(std::int32_t most) {
    const auto n = value<std::int32_t>();
    if (n < 0 || n > most) error->all(FLERR, std::string("pair_style frames: the restart file is damaged"));
    return n;
  }
  void bytes(void* target, std::size_t size) {
    if (comm->me == 0) utils::sfread(FLERR, target, 1, size, file_, nullptr, error);
    MPI_Bcast(target, static_cast<int>(size), MPI_BYTE, 0, world);
  }

  FILE* file_;
};

std::vector<std::string> absolute(std::vector<std::string> paths) {
  for (std::string& path : paths) {
    std::error_code ignored;
    const std::string full = std::filesystem::absolute(path, ignored).string();
    if (!full.empty()) path = full;
  }
  return paths;
}

}  // namespace

void PairFrames::write_restart_settings(FILE* file) {
  put(file, restart_version);
  put(file, settings_.backend);
  put(file, settings_.device);
  put(file, settings_.threshold);
  put(file, settings_.save);
  put(file, static_cast<std::int32_t>(settings_.stop));
  put(file, static_cast<std::int32_t>(settings_.every));
  put(file, scale());
}

void PairFrames::read_restart_settings(FILE* file) {
  Reader reader(lmp, file);
  const auto version = reader.value<std::int32_t>();
  if (version != restart_version) {
    error->all(FLERR, "pair_style frames: the restart file has settings of version " +
                          std::to_string(version) + ", this build reads version " +
                          std::to_string(restart_version) + "; read it with the frames-md that wrote it");
  }
  settings_ = {};
  settings_.backend = reader.text();
  settings_.device = reader.text();
  settings_.threshold = reader.value<double>();
  settings_.save = reader.text();
  settings_.stop = reader.value<std::int32_t>() != 0;
  settings_.every = reader.value<std::int32_t>();
  scale_of_restart_ = reader.value<double>();
}

void PairFrames::write_restart(FILE* file) {
  write_restart_settings(file);
  std::vector<std::string> checksums;
  for (std::size_t m = 0; m < members(); ++m)
    checksums.push_back(model_->member(m).metadata().weights_sha256);
  put(file, coefficients_.files);
  put(file, absolute(coefficients_.files));
  put(file, checksums);
  put(file, coefficients_.elements);
}

/// Loads the models again. A model that has moved or changed is no reason to refuse the atoms in the file:
/// the style is left without one, which stops the next run unless pair_coeff names it again.
void PairFrames::read_restart(FILE* file) {
  read_restart_settings(file);
  Reader reader(lmp, file);
  frames::PairCoefficients coefficients;
  coefficients.files = reader.texts();
  const std::vector<std::string> full = reader.texts(), checksums = reader.texts();
  coefficients.elements = reader.texts();

  std::string message = "it was written without a model";
  for (const std::vector<std::string>& files : {coefficients.files, full}) {
    if (files.empty() || files.size() != checksums.size()) break;
    message = try_to_load(files);
    for (std::size_t m = 0; message.empty() && m < members(); ++m) {
      if (model_->member(m).metadata().weights_sha256 == checksums[m]) continue;
      message = files[m] + " is another model than the one that the restart file was written with";
    }
    if (!message.empty()) continue;
    coefficients_ = {files, coefficients.elements};
    map_types(coefficients.elements);
    make_builder();
    set_scale(scale_of_restart_);
    announce();
    return;
  }
  model_.reset();
  if (comm->me == 0) {
    error->warning(FLERR, "pair_style frames: no model from the restart file: " + message +
                              "; name it with pair_style and pair_coeff");
  }
}

void* PairFrames::extract(const char* name, int& dimensions) {
  dimensions = 2;
  return std::string(name) == "scale" && !scale_rows_.empty() ? scale_rows_.data() : nullptr;
}

void PairFrames::set_scale(double value) {
  const std::size_t size = static_cast<std::size_t>(atom->ntypes) + 1;
  scales_.assign(size * size, value);
  scale_rows_.clear();
  for (std::size_t type = 0; type < size; ++type) scale_rows_.push_back(scales_.data() + size * type);
}

/// That of the first type with an element; without a model that of a restart file.
double PairFrames::scale() const {
  for (std::size_t type = 1; type < scale_rows_.size(); ++type) {
    if (element_of_type_[type] > 0) return scale_rows_[type][type];
  }
  return scale_of_restart_;
}

void PairFrames::check_scale() const {
  const double wanted = scale();
  for (std::size_t i = 1; i < scale_rows_.size(); ++i) {
    for (std::size_t j = i; j < scale_rows_.size(); ++j) {
      if (element_of_type_[i] <= 0 || element_of_type_[j] <= 0 || scale_rows_[i][j] == wanted) continue;
      error->all(
          FLERR,
          "pair_style frames: scale is {} for atom types {} and {}, but {} for others; a model has one "
          "factor for all, so give all of its types to fix adapt or compute fep",
          scale_rows_[i][j], i, j, wanted);
    }
  }
}
