#include "native/backend.h"

#include <utility>

#include "core/error.h"

namespace frames::native {

namespace {

template <class T>
class TypedBackend final : public NativeBackend {
 public:
  TypedBackend(Metadata metadata, std::shared_ptr<const Model<T>> model, InstructionSet set, int threads)
      : metadata_(std::move(metadata)), engine_(std::move(model), set, threads) {}

  const Metadata& metadata() const override { return metadata_; }

  std::string description() const override {
    const int threads = engine_.threads();
    return "native, " + name(engine_.instruction_set()) + (sizeof(T) == 4 ? ", float32, " : ", float64, ") +
           std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  }

  bool exchanges_ghosts() const override { return true; }
  bool gives_flux_virials() const override { return true; }
  double tolerance() const override {
    // The stored answer was computed in the arithmetic of the file, which may be another one.
    return sizeof(T) == 4 || metadata_.dtype == Metadata::Dtype::float32 ? 1e-5 : 1e-7;
  }

  void evaluate(const Graph& graph, GhostExchange* exchange, Output& output) override {
    engine_.evaluate(graph, exchange, output);
  }

  InstructionSet instruction_set() const override { return engine_.instruction_set(); }
  int threads() const override { return engine_.threads(); }
  void measure(bool on) override { engine_.measure(on); }
  Measurement measurement() const override {
    return {engine_.profiles(), engine_.bytes(), engine_.model().bytes()};
  }
  double operations(double atoms, double edges) const override { return engine_.operations(atoms, edges); }
  int radial_intervals() const override { return engine_.model().parameters().intervals; }
  double radial_value_error() const override { return engine_.model().radial_value_error(); }
  double radial_slope_error() const override { return engine_.model().radial_slope_error(); }

 private:
  Metadata metadata_;
  Engine<T> engine_;
};

template <class T>
std::unique_ptr<NativeBackend> load(ModelFile& file, InstructionSet set, int threads) {
  auto model = std::make_shared<const Model<T>>(file.metadata(), file.weights());
  return std::make_unique<TypedBackend<T>>(file.metadata(), std::move(model), set, threads);
}

std::string refusal(const Metadata& metadata, const LoadOptions& options) {
  if (metadata.backbone != "cartesian") return "evaluates backbone cartesian, not " + metadata.backbone;
  if (options.device != "cpu") return "runs on the CPU";
  return "";
}

std::unique_ptr<Backend> create(ModelFile& file, const LoadOptions& options) {
  return load_native(file, options.threads, "auto", options.precision);
}

}  // namespace

std::unique_ptr<NativeBackend> load_native(ModelFile& file, int threads, const std::string& instruction_set,
                                           const std::string& precision) {
  const std::string reason = refusal(file.metadata(), LoadOptions{});
  if (!reason.empty())
    throw Error(file.path() + ": the native engine " + reason + "; use backend torchscript");
  const InstructionSet set = parse_instruction_set(instruction_set);
  const bool single =
      precision.empty() ? file.metadata().dtype == Metadata::Dtype::float32 : precision == "single";
  return single ? load<float>(file, set, threads) : load<double>(file, set, threads);
}

}  // namespace frames::native

namespace frames {

BackendFactory native_factory() {
  return {"native", native::refusal, native::create};
}

}  // namespace frames
