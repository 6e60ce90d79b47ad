"""Commands that several rows name, each written once."""

TABLE_2 = (
    "rcnn ablate --tables table2,classifier,warp,negatives,positives,labels,iteration --seeds 0,1,2 "
    "--proposals 500 --csv data/results/ablation_toyvoc.csv --json data/results/ablation_toyvoc.json"
)
PICTURES_600 = (
    "rcnn ablate --pictures 530,70,100 --seeds 0,1,2 --proposals 300 --row fine_tuned=no "
    "--row fine_tuned=no,positive_iou=0.5 --row fine_tuned=no,negative_iou=0 --row "
    "fine_tuned=no,negative_iou=0.5 --csv data/results/ablation_toyvoc_600_pictures.csv"
)
PICTURES_200 = PICTURES_600.replace("600_pictures", "200_pictures") + " --max-images 200"
PHOTOGRAPHS = (
    "rcnn ablate --voc VOC2007 --split trainval --test-split test --classes "
    "aeroplane,bus,cat,horse,motorbike --max-images 250 --max-test-images 200 --proposals 500 --steps 400 "
    "--batch-size 32 --network squeezenet1_1 --weights squeezenet1_1_imagenet.safetensors --row "
    "layer=pool5,fine_tuned=no --row layer=pool5,fine_tuned=no,box_regression=1 "
    "--csv data/results/ablation_voc2007_sample.csv"
)
# All classes of the same sample, with four times the images to fine-tune on.
TUNE_ON_MORE_PHOTOGRAPHS = (
    "rcnn finetune --voc VOC2007 --split trainval --network squeezenet1_1 --weights "
    "squeezenet1_1_imagenet.safetensors --proposals 200 --steps 1500 --lr-drop-every 1200 --batch-size 128 "
    "--out tuned.safetensors"
)
MORE_PHOTOGRAPHS = (
    "rcnn ablate --voc VOC2007 --split trainval --test-split test --max-images 500 --max-test-images 250 "
    "--network squeezenet1_1 --weights squeezenet1_1_imagenet.safetensors --proposals 200 --finetuned "
    "tuned.safetensors --row layer=pool5,fine_tuned=no --row layer=pool5,fine_tuned=no,box_regression=1 "
    "--row layer=pool5 --row layer=pool5,box_regression=1 "
    "--csv data/results/ablation_voc2007_sample_20_classes.csv "
    "--json data/results/ablation_voc2007_sample_20_classes.json"
)
# The paper's own experiment: needs VOC 2007, ImageNet weights of the T-Net, and in practice a GPU.
VOC_2007 = (
    "rcnn ablate --voc VOC2007 --profile paper --tables table2,classifier --network tnet "
    "--weights caffenet.caffemodel --csv voc2007.csv"
)
TABLE_3 = (
    "rcnn ablate --voc VOC2007 --profile paper --tables table3 --weights tnet=caffenet.caffemodel "
    "--weights vgg16=VGG_ILSVRC_16_layers.caffemodel --csv table3.csv"
)
VOC_SERVER = (
    "rcnn finetune --voc VOC2012 --split train --network tnet --weights caffenet.caffemodel --out "
    "ft.safetensors",
    "rcnn train --voc VOC2012 --split trainval --network tnet --weights ft.safetensors --out "
    "voc2012.safetensors",
    "rcnn evaluate --voc VOC2012 --split test --model voc2012.safetensors --write-results results",
)
BASELINES = (
    "rcnn baselines --proposals 500 --csv data/results/baselines_toyvoc.csv "
    "--json data/results/baselines_toyvoc.json"
)
DENSE = (
    "rcnn dense --csv data/results/sliding_window_toyvoc.csv --json data/results/sliding_window_toyvoc.json"
)
SCALING = "rcnn scaling --threads 1 --csv data/results/scaling.csv --json data/results/scaling.json"
SPLIT = "rcnn split --synthetic --json data/results/balanced_split.json"
TABLE_4 = (
    "rcnn many-classes table --steps 200 --batch-size 64 --csv data/results/table4_toyvoc.csv "
    "--json data/results/table4_toyvoc.json"
)
SEGMENT = (
    "rcnn segment table --seeds 0,1,2 --proposals 500 --csv data/results/segmentation_toyvoc.csv "
    "--json data/results/segmentation_toyvoc.json"
)
SEGMENT_WHY = (
    "rcnn segment why --proposals 500 --csv data/results/segmentation_why.csv "
    "--json data/results/segmentation_why.json"
)
SEGMENT_REGIONS = "rcnn segment regions --split val --json data/results/segmentation_regions_toyvoc.json"
BASELINES_PHOTOGRAPHS = (
    "rcnn baselines --voc VOC2007 --classes aeroplane,bus,cat,horse,motorbike --max-images 250 "
    "--max-test-images 200 --network squeezenet1_1 --weights squeezenet1_1_imagenet.safetensors --steps 400 "
    "--batch-size 32 --proposals 500 --features raw --features hog --csv data/results/baselines_voc2007_sample.csv"
)
DUPLICATES = "rcnn duplicates VOC2007/JPEGImages ILSVRC2012/train --out duplicates"
PLANTED = (
    "rcnn duplicates VOCdevkit/VOC2007:trainval VOCdevkit/VOC2007:test --planted "
    "--json data/results/redundancy.json"
)
PROPOSALS = "rcnn proposals --json data/results/proposals_toyvoc.json"
PROPOSALS_PHOTOGRAPHS = (
    "rcnn proposals --voc VOC2007 --split test --json data/results/proposals_voc2007_sample.json"
)


def measure(name: str) -> str:
    """The command of one of `rcnn_helpers.claims.measuring`'s measurements."""
    return f"rcnn claims --measure {name}"
