#include "core/metadata.h"

#include <algorithm>
#include <set>

#include "core/elements.h"
#include "core/error.h"

namespace frames {

namespace {

constexpr double largest_cutoff = 100.0;  // Å
constexpr int most_layers = 100;

std::string optional_string(const Json& fields, std::string_view name) {
  const Json* value = fields.find(name);
  return value ? value->string() : std::string();
}

void check_format(const Json& fields) {
  const Json* format = fields.find("format");
  if (!format || !format->is(Json::Kind::string) || format->string() != "frames-model") {
    throw Error("format: expected \"frames-model\"");
  }
  const std::int64_t version = fields.at("format_version").integer();
  if (version != format_version) {
    throw Error("format version " + std::to_string(version) + ", this program reads version " +
                std::to_string(format_version) + "; install the frames-md that wrote it (" +
                optional_string(fields, "revision").substr(0, 80) + ")");
  }
}

void check_units(const Json& fields) {
  const Json* units = fields.find("units");
  if (!units) return;
  const std::string length = units->at("length").string(), energy = units->at("energy").string();
  if (length != "angstrom" || energy != "eV") {
    throw Error("units: length in " + length.substr(0, 40) + " and energy in " + energy.substr(0, 40) +
                ", expected angstrom and eV");
  }
}

void read_elements(const Json& fields, Metadata& metadata) {
  for (const Json& value : fields.at("elements").array()) {
    const std::int64_t z = value.integer();
    if (z < 1 || z > 118) throw Error("elements: expected atomic numbers from 1 to 118");
    metadata.elements.push_back(static_cast<int>(z));
  }
  for (const Json& value : fields.at("energy_reference").array()) {
    metadata.energy_reference.push_back(value.number());
  }
  const std::set<int> distinct(metadata.elements.begin(), metadata.elements.end());
  if (metadata.elements.empty() || distinct.size() != metadata.elements.size() ||
      metadata.energy_reference.size() != metadata.elements.size()) {
    throw Error("elements: expected distinct elements with one energy_reference each");
  }
}

/// `training.shortest_distances`: {"H-C": 1.01, ...}. Pairs of other elements are of no use and left out.
void read_shortest_distances(const Json& fields, Metadata& metadata) {
  const std::size_t elements = metadata.elements.size();
  metadata.shortest_distances.assign(elements * elements, 0.0);
  const Json* training = fields.find("training");
  const Json* distances =
      training && training->is(Json::Kind::object) ? training->find("shortest_distances") : nullptr;
  if (!distances) return;
  for (const auto& [pair, value] : distances->object()) {
    const std::size_t dash = pair.find('-');
    if (dash == std::string::npos || !(value.number() > 0.0)) {
      throw Error("training.shortest_distances: expected lengths in Å of pairs such as \"H-C\"");
    }
    const int first = metadata.species_of(atomic_number(pair.substr(0, dash)));
    const int second = metadata.species_of(atomic_number(pair.substr(dash + 1)));
    if (first < 0 || second < 0) continue;
    const auto i = static_cast<std::size_t>(first), j = static_cast<std::size_t>(second);
    metadata.shortest_distances[i * elements + j] = metadata.shortest_distances[j * elements + i] =
        value.number();
  }
}

Metadata::Dtype read_dtype(const Json& fields) {
  const std::string& dtype = fields.at("dtype").string();
  if (dtype == "float32") return Metadata::Dtype::float32;
  if (dtype == "float64") return Metadata::Dtype::float64;
  throw Error("dtype: expected \"float32\" or \"float64\"");
}

Metadata read_fields(const Json& fields) {
  check_format(fields);
  check_units(fields);
  Metadata metadata;
  metadata.backbone = fields.at("backbone").string();
  metadata.backbone_settings = fields.at("backbone_settings");
  metadata.backbone_settings.object();  // throws if it is none
  read_elements(fields, metadata);
  metadata.cutoff = fields.at("cutoff").number();
  if (!(metadata.cutoff > 0.0 && metadata.cutoff <= largest_cutoff)) {
    throw Error("cutoff: expected a length between 0 and 100 Å");
  }
  const std::int64_t layers = fields.at("receptive_layers").integer();
  if (layers < 1 || layers > most_layers) throw Error("receptive_layers: expected 1 to 100");
  metadata.receptive_layers = static_cast<int>(layers);
  metadata.dtype = read_dtype(fields);
  metadata.energy_scale = fields.at("energy_scale").number();
  read_shortest_distances(fields, metadata);
  metadata.torch_version = optional_string(fields, "torch_version");
  metadata.revision = optional_string(fields, "revision");
  metadata.weights_sha256 = optional_string(fields, "weights_sha256");
  return metadata;
}

}  // namespace

int Metadata::species_of(int atomic_number) const {
  const auto found = std::find(elements.begin(), elements.end(), atomic_number);
  return found == elements.end() ? -1 : static_cast<int>(found - elements.begin());
}

std::string Metadata::element_symbols() const {
  std::string symbols;
  for (const int z : elements) symbols += (symbols.empty() ? "" : " ") + chemical_symbol(z);
  return symbols;
}

Metadata parse_metadata(std::string_view text, const std::string& file) {
  try {
    Metadata metadata = read_fields(Json::parse(text));
    metadata.file = file;
    return metadata;
  } catch (const Error& error) {
    throw Error(file + ": frames.json: " + error.what() + "; export the model again");
  }
}

}  // namespace frames
