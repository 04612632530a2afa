"""Facts about the benchmarks, each with its source: members, scored parts, numbers of sequences, names of attributes.

Sources: the OTB benchmark (Wu, Lim, Yang, CVPR 2013 and PAMI 2015): its lists of sequences and the start and end frames
of its ``configSeqs.m``; UAV123 (Mueller et al., ECCV 2016), likewise; LaSOT (Fan et al., CVPR 2019): its
``testing_set.txt``; the papers of the others for their numbers of sequences. OTB's attributes are those of its web page
(2015), which give the numbers of sequences in the titles of published plots: of 100, IV 38, OPR 63, SV 64, OCC 49, DEF
44, MB 29, FM 39, IPR 51, OV 14, BC 31, LR 9; of OTB2013's 51, 25, 39, 28, 29, 19, 12, 17, 31, 6, 21, 4.
"""

# the 51 targets (50 videos, Jogging twice) of CVPR 2013, a subset of the 100 of PAMI 2015
OTB2013 = (
    "Basketball Bolt Boy Car4 CarDark CarScale Coke Couple Crossing David David2 David3 Deer Dog1 Doll Dudek "
    "FaceOcc1 FaceOcc2 Fish FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Ironman Jogging.1 "
    "Jogging.2 Jumping Lemming Liquor Matrix Mhyang MotorRolling MountainBike Shaking Singer1 Singer2 Skating1 "
    "Skiing Soccer Subway Suv Sylvester Tiger1 Tiger2 Trellis Walking Walking2 Woman"
)
# the 50 hardest of the 100 (TB-50)
OTB50 = (
    "Basketball Biker Bird1 BlurBody BlurCar2 BlurFace BlurOwl Bolt Box Car1 Car4 CarDark CarScale ClifBar Couple "
    "Crowds David Deer Diving DragonBaby Dudek Football Freeman4 Girl Human3 Human4 Human6 Human9 Ironman Jump "
    "Jumping Liquor Matrix MotorRolling Panda RedTeam Shaking Singer2 Skating1 Skating2.1 Skating2.2 Skiing Soccer "
    "Surfer Sylvester Tiger2 Trellis Walking Walking2 Woman"
)

# One-based first scored image and the number of scored ones, where they are not all images from the first on. Tiger1 is
# annotated from image 1 on, but the published lists start at image 6, where its target is fully in view.
OTB_FRAMES = {
    "david": (300, 471),
    "football1": (1, 74),
    "freeman3": (1, 460),
    "freeman4": (1, 283),
    "diving": (1, 215),
    "blurcar1": (247, 742),
    "blurcar3": (3, 357),
    "blurcar4": (18, 380),
    "tiger1": (6, 349),
}

# UAV123's sequences that are a part of a longer video: one-based first and last image in the folder of that name
# without the number at its end (car1_2 is a part of car1)
_UAV_PARTS = (
    "bird1_1 1 253, bird1_2 775 1477, bird1_3 1573 2437, car1_1 1 751, car1_2 751 1627, car1_3 1627 2629, "
    "car6_1 1 487, car6_2 487 1807, car6_3 1807 2953, car6_4 2953 3925, car6_5 3925 4861, car8_1 1 1357, "
    "car8_2 1357 2575, car16_1 1 415, car16_2 415 1993, group1_1 1 1333, group1_2 1333 2515, group1_3 2515 3925, "
    "group1_4 3925 4873, group2_1 1 907, group2_2 907 1771, group2_3 1771 2683, group3_1 1 1567, group3_2 1567 2827, "
    "group3_3 2827 4369, group3_4 4369 5527, person2_1 1 1189, person2_2 1189 2623, person4_1 1 1501, "
    "person4_2 1501 2743, person5_1 1 877, person5_2 877 2101, person7_1 1 1249, person7_2 1249 2065, "
    "person8_1 1 1075, person8_2 1075 1525, person12_1 1 601, person12_2 601 1621, person14_1 1 847, "
    "person14_2 847 1813, person14_3 1813 2923, person17_1 1 1501, person17_2 1501 2347, person19_1 1 1243, "
    "person19_2 1243 2791, person19_3 2791 4357, truck4_1 1 577, truck4_2 577 1261, uav1_1 1 1555, uav1_2 1555 2377, "
    "uav1_3 2473 3469"
)
UAV_PARTS = {name: (int(a), int(b)) for name, a, b in (part.split() for part in _UAV_PARTS.split(", "))}

# LaSOT's 280 test sequences: airplane-1, airplane-9, ...
_LASOT_TEST = (
    "airplane 1 9 13 15, basketball 1 6 7 11, bear 2 4 6 17, bicycle 2 7 9 18, bird 2 3 15 17, boat 3 4 12 17, "
    "book 3 10 11 19, bottle 1 12 14 18, bus 2 5 17 19, car 2 6 9 17, cat 1 3 18 20, cattle 2 7 12 13, "
    "chameleon 3 6 11 20, coin 3 6 7 18, crab 3 6 12 18, crocodile 3 4 10 14, cup 1 4 7 17, deer 4 8 10 14, "
    "dog 1 7 15 19, drone 2 7 13 15, electricfan 1 10 18 20, elephant 1 12 16 18, flag 2 3 5 9, fox 2 3 5 20, "
    "frog 3 4 9 20, gametarget 1 2 7 13, gecko 1 5 16 19, giraffe 2 10 13 15, goldfish 3 7 8 10, gorilla 4 6 9 13, "
    "guitar 3 8 10 16, hand 2 3 9 16, hat 1 2 5 18, helmet 5 11 13 19, hippo 1 7 9 20, horse 1 4 12 15, "
    "kangaroo 2 5 11 14, kite 4 6 10 15, leopard 1 7 16 20, licenseplate 6 12 13 15, lion 1 5 12 20, lizard 1 3 6 13, "
    "microphone 2 6 14 16, monkey 3 4 9 17, motorcycle 1 3 9 18, mouse 1 8 9 17, person 1 5 10 12, pig 2 10 13 18, "
    "pool 3 7 12 15, rabbit 10 13 17 19, racing 10 15 16 20, robot 1 5 8 19, rubicCube 1 6 14 19, sepia 6 8 13 16, "
    "shark 2 3 5 6, sheep 3 5 7 9, skateboard 3 8 16 19, spider 14 16 18 20, squirrel 8 11 13 19, surfboard 4 5 8 12, "
    "swing 10 14 17 20, tank 6 9 14 16, tiger 4 6 12 18, train 1 7 11 20, truck 3 6 7 16, turtle 5 8 9 16, "
    "umbrella 2 9 17 19, volleyball 1 13 18 19, yoyo 7 15 17 19, zebra 10 14 16 17"
)
LASOT_TEST = [f"{kind}-{n}" for kind, *numbers in map(str.split, _LASOT_TEST.split(", ")) for n in numbers]

# One-pass data sets whose files call the first pixel 0, not 1. TrackingNet: its devkit draws the boxes with OpenCV at
# int(x), int(y). NFS: VATIC's boxes, all within 0 .. width - 1 and 0 .. height - 1, many of them at 0.
FROM_ZERO = ("trackingnet", "nfs")

# sequences of each data set, as published
COUNTS = {
    "OTB2013": 51,
    "OTB50": 50,
    "OTB2015": 100,
    "TColor-128": 128,
    "UAV123": 123,
    "UAV20L": 20,
    "NFS": 100,
    "NFS240": 100,
    "LaSOT": 280,
    "GOT-10k": 180,
    "GOT-10k_Val": 180,
    "GOT-10k_Test": 180,
    "TrackingNet": 511,
    "VOT2013": 16,
    "VOT2014": 25,
    **{f"VOT{year}": 60 for year in range(2015, 2020)},
    "VOT2018-LT": 35,
    "VOT2019-LT": 50,
}

# width x height of the images of VOT2017 to VOT2019, where regions are cut at the border: annotations often lack them
_VOT_SIZES = (
    "1280x720 ball1 ball2 birds1 conduction1 crabs1 drone1 drone_across drone_flip flamingo1 gymnastics2 gymnastics3 "
    "leaves motocross2 soldier; 960x540 dribble hand2 lamb marathon monkey nature polo rabbit2 rowing surfing wheel; "
    "640x480 book butterfly car1 fernando girl glove rabbit racing tiger wiper; 640x360 bolt1 fish2 fish3 motocross1 "
    "soccer1; 320x240 blanket dinosaur hand pedestrian1; 1210x681 crossing road traffic; 1024x1024 ants1 ants3; "
    "480x360 bag sheep; 480x270 bolt2 iceskater1; 1920x1080 frisbee zebrafish1; 624x352 shaking singer2; 854x480 "
    "agility singer3; 576x432 basketball; 1280x692 bmx; 460x345 fish1; 432x240 godfather; 560x240 graduate; 320x180 "
    "gymnastics1; 384x288 handball1; 768x576 handball2; 848x480 helicopter; 640x352 iceskater2; 800x336 matrix; "
    "1201x681 soccer2; 480x810 ball3"
)
VOT_SIZES = {
    title: (int(size.split("x")[0]), int(size.split("x")[1]))
    for size, *titles in map(str.split, _VOT_SIZES.split("; "))
    for title in titles
}

# names of the columns of a sequence's row of attributes (0 or 1), in the benchmark's ``att`` folder
ATTRIBUTES = {
    "OTB2015": ["IV", "OPR", "SV", "OCC", "DEF", "MB", "FM", "IPR", "OV", "BC", "LR"],
    "UAV123": ["SV", "ARC", "LR", "FM", "FOC", "POC", "OV", "BC", "IV", "VC", "CM", "SOB"],
    "LaSOT": ["IV", "POC", "DEF", "MB", "CM", "ROT", "BC", "VC", "SV", "FOC", "FM", "OV", "LR", "ARC"],
}

# the sequences that have each attribute; Jogging and Skating2 stand for both of their targets
_OTB_ATTRIBUTES = {
    "IV": (
        "Basketball Box Car1 Car2 Car24 Car4 CarDark Coke Crowds David Doll FaceOcc2 Fish Human2 Human4 Human7 Human8 "
        "Human9 Ironman KiteSurf Lemming Liquor Man Matrix Mhyang MotorRolling Shaking Singer1 Singer2 Skating1 "
        "Skiing Soccer Sylvester Tiger1 Tiger2 Trans Trellis Woman"
    ),
    "OPR": (
        "Basketball Biker Bird2 Board Bolt Box Boy CarScale Coke Couple Dancer David David2 David3 Dog Dog1 Doll "
        "DragonBaby Dudek FaceOcc2 FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Girl2 Gym Human2 "
        "Human3 Human6 Ironman Jogging Jump KiteSurf Lemming Liquor Matrix Mhyang MountainBike Panda RedTeam Rubik "
        "Shaking Singer1 Singer2 Skater Skater2 Skating1 Skating2 Skiing Soccer Surfer Sylvester Tiger1 Tiger2 Toy "
        "Trellis Twinnings Woman"
    ),
    "SV": (
        "Biker BlurBody BlurCar2 BlurOwl Board Box Boy Car1 Car24 Car4 CarScale ClifBar Couple Crossing Dancer David "
        "Diving Dog Dog1 Doll DragonBaby Dudek FleetFace Freeman1 Freeman3 Freeman4 Girl Girl2 Gym Human2 Human3 "
        "Human4 Human5 Human6 Human7 Human8 Human9 Ironman Jump Lemming Liquor Matrix MotorRolling Panda RedTeam "
        "Rubik Shaking Singer1 Skater Skater2 Skating1 Skating2 Skiing Soccer Surfer Toy Trans Trellis Twinnings Vase "
        "Walking Walking2 Woman"
    ),
    "OCC": (
        "Basketball Biker Bird2 Bolt Box CarScale ClifBar Coke Coupon David David3 Doll DragonBaby Dudek FaceOcc1 "
        "FaceOcc2 Football Freeman4 Girl Girl2 Human3 Human4 Human5 Human6 Human7 Ironman Jogging Jump KiteSurf "
        "Lemming Liquor Matrix Panda RedTeam Rubik Singer1 Skating1 Skating2 Soccer Subway Suv Tiger1 Tiger2 Trans "
        "Walking Walking2 Woman"
    ),
    "DEF": (
        "Basketball Bird1 Bird2 BlurBody Bolt Bolt2 Couple Crossing Crowds Dancer Dancer2 David David3 Diving Dog "
        "Dudek FleetFace Girl2 Gym Human3 Human4 Human5 Human6 Human7 Human8 Human9 Jogging Jump Mhyang Panda Singer2 "
        "Skater Skater2 Skating1 Skating2 Skiing Subway Tiger1 Tiger2 Trans Walking Woman"
    ),
    "MB": (
        "Biker BlurBody BlurCar1 BlurCar2 BlurCar3 BlurCar4 BlurFace BlurOwl Board Box Boy ClifBar David Deer "
        "DragonBaby FleetFace Girl2 Human2 Human7 Human9 Ironman Jump Jumping Liquor MotorRolling Soccer Tiger1 "
        "Tiger2 Woman"
    ),
    "FM": (
        "Biker Bird1 Bird2 BlurBody BlurCar1 BlurCar2 BlurCar3 BlurCar4 BlurFace BlurOwl Board Boy CarScale ClifBar "
        "Coke Couple Deer DragonBaby Dudek FleetFace Human6 Human7 Human9 Ironman Jumping Lemming Liquor Matrix "
        "MotorRolling Skater2 Skating2 Soccer Surfer Tiger1 Tiger2 Toy Vase Woman"
    ),
    "IPR": (
        "Bird2 BlurBody BlurFace BlurOwl Bolt Box Boy CarScale ClifBar Coke Dancer David David2 Deer Diving Dog1 Doll "
        "DragonBaby Dudek FaceOcc2 FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Gym Ironman Jump "
        "KiteSurf Matrix MotorRolling MountainBike Panda RedTeam Rubik Shaking Singer2 Skater Skater2 Skiing Soccer "
        "Surfer Suv Sylvester Tiger1 Tiger2 Toy Trellis Vase"
    ),
    "OV": "Biker Bird1 Board Box ClifBar DragonBaby Dudek Human6 Ironman Lemming Liquor Panda Suv Tiger2",
    "BC": (
        "Basketball Board Bolt2 Box Car1 Car2 Car24 CarDark ClifBar Couple Coupon Crossing Crowds David3 Deer Dudek "
        "Football Football1 Human3 Ironman Liquor Matrix Mhyang MotorRolling MountainBike Shaking Singer2 Skating1 "
        "Soccer Subway Trellis"
    ),
    "LR": "Biker Car1 Freeman3 Freeman4 Panda RedTeam Skiing Surfer Walking",
}


def _otb_attributes() -> dict[str, list[str]]:
    """Attributes of each target: jogging_1 -> OPR, OCC, DEF."""
    found: dict[str, list[str]] = {}
    for attribute, titles in _OTB_ATTRIBUTES.items():
        for title in titles.lower().split():
            targets = [f"{title}_1", f"{title}_2"] if title in ("jogging", "skating2") else [title]
            for target in targets:
                found.setdefault(target, []).append(attribute)
    return found


OTB_ATTRIBUTES = _otb_attributes()
