#include "openmm/model_source.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "core/error.h"
#include "core/sha256.h"
#include "core/torchscript_library.h"
#include "native/backend.h"

namespace frames {

namespace {

std::vector<BackendFactory> factories() {
  return {native_factory(), torchscript_factory()};
}

ModelSource::Bytes read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error(path + ": no such model file, or it cannot be read");
  ModelSource::Bytes bytes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad()) throw Error(path + ": cannot be read");
  return bytes;
}

/// Contents under a path that every backend can open. Nothing is written to disk, and what is loaded is what
/// was checked.
class MemoryFile {
 public:
  explicit MemoryFile(const ModelSource::Bytes& contents) : descriptor_(memfd_create("frames-model", 0)) {
    if (descriptor_ < 0) fail();
    for (std::size_t written = 0; written < contents.size();) {
      const ssize_t size = write(descriptor_, contents.data() + written, contents.size() - written);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) {
        close(descriptor_);
        fail();
      }
      written += static_cast<std::size_t>(size);
    }
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  [[noreturn]] static void fail() {
    throw Error(std::string("the model cannot be kept in memory: ") + std::strerror(errno));
  }

  int descriptor_;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

}  // namespace

ModelSource ModelSource::from_file(const std::string& path, bool embed) {
  auto contents = std::make_shared<const Bytes>(read_file(path));
  std::string digest = frames::sha256(contents->data(), contents->size());
  return ModelSource(path, std::move(digest), embed ? std::move(contents) : nullptr);
}

ModelSource::ModelSource(std::string path, std::string sha256, std::shared_ptr<const Bytes> contents)
    : path_(std::move(path)), sha256_(std::move(sha256)), contents_(std::move(contents)) {
  if (contents_ && frames::sha256(contents_->data(), contents_->size()) != sha256_) {
    throw Error(path_ +
                " (embedded): the model does not match its checksum; it was altered or damaged, "
                "make the force again from the model file");
  }
}

std::shared_ptr<const ModelSource::Bytes> ModelSource::read() const {
  if (contents_) return contents_;
  auto found = std::make_shared<const Bytes>();
  try {
    found = std::make_shared<const Bytes>(read_file(path_));
  } catch (const Error& error) {
    throw Error(std::string(error.what()) +
                "; the force refers to it by its path: put it back, or make the "
                "force with embed=True");
  }
  const std::string digest = frames::sha256(found->data(), found->size());
  if (digest != sha256_) {
    throw Error(path_ + ": is not the model file that the force was made with (its SHA-256 begins with " +
                digest.substr(0, 12) + ", expected " + sha256_.substr(0, 12) +
                "); put the file back, or make the force again");
  }
  return found;
}

void ModelSource::check(const LoadOptions& options) const {
  const MemoryFile file(*read());
  try {
    choose_backend(ModelFile(file.path()).metadata(), options, factories());
  } catch (const Error& error) {
    throw Error(replaced(error.what(), file.path(), path_));
  }
}

std::unique_ptr<Backend> ModelSource::open(const LoadOptions& options) const {
  const MemoryFile file(*read());
  try {
    return load_model(file.path(), options, factories());
  } catch (const Error& error) {
    throw Error(replaced(error.what(), file.path(), name()));
  }
}

std::string ModelSource::renamed(const std::string& message, const Backend& backend) const {
  return replaced(message, backend.metadata().file, name());
}

}  // namespace frames
