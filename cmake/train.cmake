# micromind_data (OpenCV, libcurl) and micromind_train (libtorch).
include(${PROJECT_SOURCE_DIR}/cmake/rooms.cmake)

# --- micromind_data: data sets, augmentation, loader, download; free of libtorch ------------------------------
find_package(MicromindOpenCV REQUIRED)
find_package(CURL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Threads REQUIRED)
micromind_room_sources(DATA_SOURCES data)
add_library(micromind_data STATIC ${DATA_SOURCES})
target_link_libraries(micromind_data PUBLIC micromind
                                     PRIVATE micromind::opencv CURL::libcurl ZLIB::ZLIB Threads::Threads)
micromind_warnings(micromind_data)

# --- micromind_train: graph modules, optimisers, trainer, tasks (libtorch) ------------------------------------
find_package(MicromindTorch REQUIRED)
micromind_room_sources(TRAIN_SOURCES train tasks)
add_library(micromind_train STATIC ${TRAIN_SOURCES})
# at::parallel_for runs on one thread where its caller is compiled without OpenMP.
find_package(OpenMP REQUIRED COMPONENTS CXX)
target_link_libraries(micromind_train PUBLIC micromind_data micromind::torch PRIVATE ${CMAKE_DL_LIBS} OpenMP::OpenMP_CXX)
# The optimisers' loops vectorise only when sqrt need not set errno.
set_source_files_properties(${PROJECT_SOURCE_DIR}/micromind/train/optimizer.cpp PROPERTIES COMPILE_OPTIONS "-fno-math-errno")
# c10d's headers declare a backend only to those who say that it is there.
set(backends USE_C10D_GLOO)
find_path(NCCL_INCLUDE nccl.h)
mark_as_advanced(NCCL_INCLUDE)
if(TARGET torch_cuda AND NCCL_INCLUDE)
  list(APPEND backends USE_C10D_NCCL)
endif()
set_source_files_properties(${PROJECT_SOURCE_DIR}/micromind/train/distributed/ranks.cpp PROPERTIES COMPILE_DEFINITIONS "${backends}")
micromind_warnings(micromind_train)
