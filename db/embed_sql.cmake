# SPDX-License-Identifier: Apache-2.0
# Writes the migrations as a C table: cmake -DOUT=file.c -DFILES=a.sql,b.sql -P embed_sql.cmake
string(REPLACE "," ";" files "${FILES}")
list(SORT files)
set(body "/* Generated from db/migrations by db/embed_sql.cmake. */\n#include \"db/migrate.h\"\n\n")
set(rows "")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  if(NOT name MATCHES "^([0-9][0-9][0-9][0-9])_[a-z0-9_]+$")
    message(FATAL_ERROR "migration ${file}: the name must be NNNN_name.sql")
  endif()
  math(EXPR version "1${CMAKE_MATCH_1} - 10000")
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n"
         bytes "${bytes}")
  string(APPEND body "static const char sql_${version}[] = {\n${bytes}0};\n\n")
  string(APPEND rows "    {${version}, \"${name}\", sql_${version}},\n")
endforeach()
string(APPEND body "static const struct vg_migration migrations[] = {\n${rows}};\n\n"
  "const struct vg_migration *vg_migrations(size_t *out_count)\n{\n"
  "    *out_count = sizeof(migrations) / sizeof(migrations[0]);\n    return migrations;\n}\n")
file(WRITE ${OUT} "${body}")
