#include <cmath>

#include "check.h"
#include "core/elements.h"
#include "core/metadata.h"
#include "core/units.h"

namespace {

const std::string valid = R"({
  "format": "frames-model", "format_version": 1, "backbone": "cartesian", "backbone_settings": {"channels": 8},
  "elements": [6, 1, 8], "cutoff": 5.0, "receptive_layers": 2, "units": {"length": "angstrom", "energy": "eV"},
  "dtype": "float32", "energy_reference": [-1.0, -2.0, -3.0], "energy_scale": 0.5, "revision": "frames-md 9.9"
})";

std::string changed(const std::string& from, const std::string& to) {
  std::string text = valid;
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST(metadata_reads_all_fields) {
  const frames::Metadata m = frames::parse_metadata(valid, "model.pt");
  CHECK(m.file == "model.pt" && m.backbone == "cartesian");
  CHECK(m.backbone_settings.at("channels").integer() == 8);
  CHECK((m.elements == std::vector<int>{6, 1, 8}));
  CHECK(m.species_of(1) == 1 && m.species_of(7) == -1);
  CHECK(m.element_symbols() == "C H O");
  CHECK(m.cutoff == 5.0 && m.receptive_layers == 2 && m.energy_scale == 0.5);
  CHECK(m.dtype == frames::Metadata::Dtype::float32);
  CHECK(m.energy_reference[2] == -3.0);
}

TEST(metadata_knows_how_close_atoms_came_in_training) {
  const std::string training =
      R"("training": {"shortest_distances": {"H-C": 1.01, "C-O": 1.2, "H-N": 0.9}}, )";
  const frames::Metadata m =
      frames::parse_metadata(changed("\"cutoff\"", training + "\"cutoff\""), "model.pt");
  CHECK(m.shortest_distance(0, 1) == 1.01 && m.shortest_distance(1, 0) == 1.01);
  CHECK(m.shortest_distance(0, 2) == 1.2 && m.shortest_distance(1, 1) == 0.0);
  CHECK(frames::parse_metadata(valid, "model.pt").shortest_distance(0, 1) == 0.0);
}

TEST(metadata_errors_name_the_file_and_what_to_do) {
  const struct {
    const char *from, *to, *message;
  } cases[] = {
      {"\"cutoff\"", "\"training\": {\"shortest_distances\": {\"HC\": 1.0}}, \"cutoff\"",
       "expected lengths in Å of pairs"},
      {"frames-model", "other", "expected \"frames-model\""},
      {"\"format_version\": 1", "\"format_version\": 2", "format version 2, this program reads version 1"},
      {"\"format_version\": 1", "\"format_version\": 2", "frames-md 9.9"},
      {"\"cutoff\": 5.0", "\"cutoff\": 0.0", "cutoff: expected"},
      {"\"cutoff\": 5.0", "\"cutoff\": 1e9", "cutoff: expected"},
      {"\"receptive_layers\": 2", "\"receptive_layers\": 0", "receptive_layers"},
      {"\"receptive_layers\": 2", "\"receptive_layers\": 1.5", "receptive_layers: expected a whole number"},
      {"[6, 1, 8]", "[6, 1, 1]", "distinct"},
      {"[6, 1, 8]", "[6, 1, 119]", "atomic numbers from 1 to 118"},
      {"[6, 1, 8]", "[6, 1]", "one energy_reference each"},
      {"[6, 1, 8]", "6", "elements: expected an array"},
      {"angstrom", "nm", "length in nm"},
      {"float32", "float16", "dtype"},
      {"\"backbone\"", "\"spine\"", "backbone: missing"},
      {"{\"channels\": 8}", "[]", "backbone_settings: expected an object"},
  };
  for (const auto& wrong : cases) {
    CHECK_ERROR(frames::parse_metadata(changed(wrong.from, wrong.to), "model.pt"), wrong.message);
    CHECK_ERROR(frames::parse_metadata(changed(wrong.from, wrong.to), "model.pt"), "model.pt: frames.json: ");
    CHECK_ERROR(frames::parse_metadata(changed(wrong.from, wrong.to), "model.pt"), "export the model again");
  }
}

TEST(elements_and_symbols) {
  for (int z = 1; z <= 118; ++z) CHECK(frames::atomic_number(frames::chemical_symbol(z)) == z);
  CHECK(frames::atomic_number("h") == 0 && frames::atomic_number("") == 0 &&
        frames::atomic_number("Xx") == 0);
  CHECK_NEAR(frames::atomic_weight(frames::atomic_number("Au")), 196.97, 1e-6);
  CHECK_ERROR(frames::chemical_symbol(0), "expected 1 to 118");
  CHECK_ERROR(frames::chemical_symbol(119), "expected 1 to 118");
}

TEST(units_are_those_of_codata) {
  CHECK_NEAR(frames::units::kcal_per_mol_per_ev, 23.060547830619, 1e-11);
  CHECK_NEAR(frames::units::kj_per_mol_per_ev, 96.48533212331, 1e-10);
}
