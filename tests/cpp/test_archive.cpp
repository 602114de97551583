#include <memory>
#include <sstream>

#include "check.h"
#include "core/archive.h"
#include "core/sha256.h"
#include "zip_writer.h"

namespace {

frames::Archive open(const std::string& bytes) {
  return frames::Archive(std::make_unique<std::istringstream>(bytes), "model.pt");
}

std::string text_of(const std::vector<std::uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

const std::vector<std::pair<std::string, std::string>> entries = {
    {"m/data.pkl", "code"}, {"m/extra/frames.json", "{\"a\": 1}"}, {"m/extra/empty", ""}};

}  // namespace

TEST(archive_reads_stored_entries) {
  for (const bool zip64 : {false, true}) {
    frames::Archive archive = open(write_zip(entries, zip64));
    CHECK(text_of(archive.read_extra("frames.json", 100)) == "{\"a\": 1}");
    CHECK(archive.read_extra("empty", 100).empty());
  }
}

TEST(archive_refuses_what_it_cannot_read) {
  CHECK_ERROR(frames::Archive("/nonexistent/model.pt"), "/nonexistent/model.pt: no such model file");
  CHECK_ERROR(open(""), "no zip archive");
  CHECK_ERROR(open(std::string(1000, 'x')), "no zip archive");
  CHECK_ERROR(open(write_zip(entries)).read_extra("weights", 100), "it holds no weights");
  CHECK_ERROR(open(write_zip(entries)).read_extra("data.pkl", 100),
              "it holds no data.pkl");  // not an extra file
  CHECK_ERROR(open(write_zip(entries)).read_extra("frames.json", 7), "claims 8 bytes");
  CHECK_ERROR(open(write_zip(entries, false, 8)).read_extra("frames.json", 100), "compressed");
  std::string damaged = write_zip(entries);
  damaged[damaged.find("\"a\"") + 1] = 'b';
  CHECK_ERROR(open(damaged).read_extra("frames.json", 100), "does not match its checksum");
}

TEST(archive_refuses_every_truncation) {
  for (const bool zip64 : {false, true}) {
    const std::string whole = write_zip(entries, zip64);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      CHECK_ERROR(open(whole.substr(0, size)).read_extra("frames.json", 100),
                  "model.pt: not a readable model file");
    }
  }
}

TEST(sha256_of_the_standard) {
  const auto digest = [](const std::string& text) {
    return frames::sha256(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  // FIPS 180-4 examples and the lengths around a block
  CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
