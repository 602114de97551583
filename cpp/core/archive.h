#pragma once

#include <cstdint>
#include <istream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frames {

/// A zip archive whose entries of interest are stored without compression, as TorchScript writes its extra
/// files.
///
/// Every offset and size is checked against the length of the file before it is used or memory is taken, and
/// every entry that is read is checked against its CRC-32. Format: PKWARE APPNOTE.TXT, 4.3 (zip64 included).
class Archive {
 public:
  /// Reads the directory of a file. Throws Error if it is missing, unreadable, truncated or no zip archive.
  explicit Archive(const std::string& path);
  /// The same from any seekable stream; `name` stands for the path in messages.
  Archive(std::unique_ptr<std::istream> stream, std::string name);

  Archive(Archive&&) = default;
  Archive& operator=(Archive&&) = default;

  /// Contents of the one entry `<any folder>/extra/<name>`.
  /// Throws Error if it is missing, compressed, larger than `largest` bytes, or damaged.
  std::vector<std::uint8_t> read_extra(std::string_view name, std::uint64_t largest);

  const std::string& name() const { return name_; }

 private:
  struct Entry {
    std::string name;
    std::uint64_t size = 0;
    std::uint64_t stored_size = 0;
    std::uint64_t header_offset = 0;
    std::uint32_t crc = 0;
    std::uint16_t method = 0;
    std::uint16_t flags = 0;
  };
  struct Directory {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint64_t entries = 0;
  };

  [[noreturn]] void fail(const std::string& what) const;
  std::vector<std::uint8_t> bytes(std::uint64_t offset, std::uint64_t size);
  Directory find_directory();
  void read_zip64_end(std::uint64_t end_record, Directory& directory);
  void read_directory(const Directory& directory);

  std::unique_ptr<std::istream> stream_;
  std::string name_;
  std::uint64_t length_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace frames
